"""A world so small that every sequence can be listed: what the TGDPO losses do, without sampling.

Shapes: S states (prefixes), A actions (tokens), H horizon (tokens of a sequence), N = A^H
sequences. Everything is float64. Policies are log-probabilities [S, A].
"""

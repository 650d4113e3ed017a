"""From a recipe to what can be trained, step by step: names, pairs, tokens, scores, diagnosis."""

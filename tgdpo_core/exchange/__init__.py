"""Files of public benchmarks: answers written for their judges, and their judgements read back.

The judging itself is theirs. Schemas: AlpacaEval 0.6.6 and FastChat 0.2.36 as packaged,
Arena-Hard-Auto v0.1 and v2 as published in its repository.
"""

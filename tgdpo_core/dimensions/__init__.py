"""Safety, honesty and fairness: refusals, truthfulness and bias, from files that the user names.

No data come along; formulas are those of the data sets' papers.
"""

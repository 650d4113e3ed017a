"""The one room a plugin author reads: hooks, base classes, options, and their manager.

Importing it loads no torch.
"""

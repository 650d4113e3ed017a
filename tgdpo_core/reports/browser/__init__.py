"""The token browser: all pairs of a data set in pages, sorted and filtered, as files or served."""

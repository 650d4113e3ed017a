"""From the rows of a data set to tokenized preference pairs."""

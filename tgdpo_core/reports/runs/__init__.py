"""A run as a page: its log, its record and its tokens are read, drawn and written."""

"""One file a command; each defines ``command``. Heavy imports stand inside the functions."""

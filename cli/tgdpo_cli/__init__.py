"""The command line ``tgdpo``; commands import what they need when they run."""

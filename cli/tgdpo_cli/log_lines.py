"""What of the log a person sees: warnings, in which nothing that data says steers a terminal."""

import logging

# What they say while they are imported is about kernels and names that are not used here.
_CHATTY = ("torchao", "torch.utils._pytree")


class VisibleFormatter(logging.Formatter):
    """Log lines with control characters as escapes and secrets taken out."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        from tgdpo_core.reports.visible import printable

        return printable(super().format(record))


def show_warnings() -> None:
    """Write warnings and errors of the log to stderr, one line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(VisibleFormatter("%(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)

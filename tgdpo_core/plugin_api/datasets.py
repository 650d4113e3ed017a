"""Named data sets: rows that a plugin brings along, with a base model if it has one."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar


class NamedDataset:
    """Base of a data set that ``data.path`` can name."""

    model: ClassVar[str | None] = None
    """Folder of a base model that comes with the data; ``model.name_or_path`` may then name the
    data set too."""

    error_judge: ClassVar[str | None] = None
    """Name of a judge that knows where the errors of its responses are (``error_spans``)."""

    only_prompts: ClassVar[bool] = False
    """Whether its rows are prompts without responses, for models to answer."""

    def rows(self, split: str) -> Iterable[Mapping[str, Any]]:
        """Return the rows of a split (``train``, ``test``) in one of the known formats.

        Raises:
            ValueError: for a split that does not exist; the message lists those that do.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement rows(split)")

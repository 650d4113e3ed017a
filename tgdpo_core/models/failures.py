"""What goes wrong while a model is loaded, told in one line: files, network, missing packages."""

import contextlib
import pickle
from collections.abc import Iterator
from typing import Any

from tgdpo_core.errors import TgdpoError, UsageError

_LONGEST = 400
_OFFLINE = (
    "the Hub cannot be reached. Check the network (HF_HUB_OFFLINE, HF_ENDPOINT, proxies), "
    "or name a local folder"
)


@contextlib.contextmanager
def one_line_errors(what: str) -> Iterator[None]:
    """Raise whatever files, network or libraries raise as ``UsageError``, chained.

    Args:
        what: how the message begins: what was tried.
    """
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        StrictDataclassError,
    )
    from safetensors import SafetensorError

    # Whatever the client of the installed huggingface_hub raises: it has changed its library once.
    network_error: Any = HfHubHTTPError.__mro__[1]

    try:
        yield
    except TgdpoError:
        raise
    except (OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        raise UsageError(f"{what}: {_OFFLINE} ({told(error)}).") from error
    except network_error as error:
        reason = "the Hub refused" if isinstance(error, HfHubHTTPError) else _OFFLINE
        raise UsageError(f"{what}: {reason} ({told(error)}).") from error
    except ImportError as error:
        raise UsageError(f"{what} needs a package that is not installed: {told(error)}") from error
    except (pickle.UnpicklingError, EOFError) as error:
        raise UsageError(
            f"{what}: its weights are a damaged or unsafe pickle ({told(error)}). Nothing of it "
            "was run. Use safetensors."
        ) from error
    except SafetensorError as error:
        raise UsageError(f"{what}: a safetensors file is damaged: {told(error)}") from error
    except (
        OSError,
        ValueError,
        RuntimeError,
        LookupError,
        TypeError,
        AttributeError,
        StrictDataclassError,
    ) as error:
        raise UsageError(f"{what} cannot be loaded: {told(error)}") from error


def told(error: BaseException) -> str:
    """Return an error's message in one line of at most 400 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."

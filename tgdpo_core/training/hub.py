"""A finished run on the Hub: its model and its card, in one commit."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import transformers.trainer as hf_trainer

from tgdpo_core.errors import UsageError
from tgdpo_core.failures import translated
from tgdpo_core.training.run_folder import RunFolder


def require_hub() -> None:
    """Raise ``UsageError`` where the Hub must not be used: a push would fail after all the work."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UsageError(
            "push_to_hub needs the Hub, but HF_HUB_OFFLINE is set. Unset it, or train without "
            "push_to_hub and upload the folder model/ afterwards: hf upload REPO RUN/model"
        )


@contextlib.contextmanager
def push_run(folder: RunFolder) -> Iterator[Callable[..., Any]]:
    """Yield a function that uploads the run's ``model/``, card included, as one commit.

    Raises:
        UsageError: the run is not done; or, with what to do about it, the upload failed.
    """
    if folder.read().get("status") != "done" or not folder.model.is_dir():
        raise UsageError(f"{folder.path} holds no finished run to push: call train() first.")

    def upload(**how: Any) -> Any:
        api: Any = vars(hf_trainer)["hf_api"]()  # with transformers' user agent, as its trainer
        return api.upload_folder(folder_path=str(folder.model), **how)

    try:
        yield upload
    except Exception as error:
        known = translated(error)
        if known is None:
            raise
        raise UsageError(
            f"The run is done, but it could not be pushed: {known} Push it later: "
            f"hf upload REPO {folder.model}"
        ) from error

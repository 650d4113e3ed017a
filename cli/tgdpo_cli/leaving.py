"""The end of a command's process, where a thread would keep it alive or abort it."""

import atexit
import logging
import os
import sys


def leave(code: int) -> None:
    """End the process at once where a thread would keep it alive, or abort it at its end.

    After a failure the process group is left as it is: to end it could wait for the others.
    """
    loading = sys.modules.get("tgdpo_core.plugin_api.loading")
    if loading is None and "torch.distributed" not in sys.modules:
        return  # the commands that look something up end without a further import
    from tgdpo_core import launching

    if code == 0:
        launching.leave_process_group()
    has_leftovers = loading is not None and loading.LEFTOVERS.alive()
    if not (has_leftovers or launching.is_in_process_group()):
        return
    atexit._run_exitfuncs()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

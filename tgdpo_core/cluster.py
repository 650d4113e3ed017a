"""An existing Ray cluster: reached, or a reason in one line."""

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from tgdpo_core.errors import UsageError

_CONNECT_SECONDS = 10


def connect(address: str) -> None:
    """Make this process a driver of a Ray cluster; its workers get the TGDPO_* variables.

    Usage statistics of Ray are off unless the environment switches them on.

    Args:
        address: of the cluster; ``auto`` finds the one of this machine.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError("--executor ray needs Ray: pip install 'tgdpo[ray]'.") from error
    ours = {key: value for key, value in os.environ.items() if key.startswith("TGDPO_")}
    # Ray Data would otherwise ask a Prometheus server for usage statistics, in threads of its own.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        _require_listener(address)
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.WARNING,
            runtime_env={"env_vars": ours},
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"No Ray cluster can be reached at {address}: {str(error).rstrip('.')}. Start one "
            "with `ray start --head`, or use the executor local."
        ) from error


def leave() -> None:
    """Leave the cluster, which ends what this program still had running there."""
    import ray

    ray.shutdown()


def gpus_of_one(asked: float | None) -> float:
    """Return the GPUs that a task or an actor gets: as asked, else one if the cluster has any."""
    import ray

    return min(1, ray.cluster_resources().get("GPU", 0)) if asked is None else asked


def warn_if_too_large(asked: Mapping[str, float], who: str) -> None:
    """Warn where what is asked for would wait for a node that is not there (yet).

    Args:
        asked: resources of one task or actor, as Ray names them.
        who: asks for them, in the plural.
    """
    import ray

    nodes: Sequence[Mapping[str, Any]] = ray.nodes()
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    if not any(all(has.get(what, 0) >= n for what, n in asked.items()) for has in alive):
        needs = " and ".join(f"{n:g} {what}" for what, n in asked.items())
        logging.getLogger(__name__).warning(
            "No node of the Ray cluster has %s, which every one of the %s asks for: they wait "
            "until one joins.",
            needs,
            who,
        )


def _require_listener(address: str) -> None:
    """Raise OSError where nothing listens: Ray itself would try for many minutes."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()

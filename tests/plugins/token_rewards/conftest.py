"""A fixture for rewards of a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback import Serve, loopback_servers


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """A function that starts a server that scores with faults."""
    with loopback_servers(tmp_path, monkeypatch) as make:
        yield make

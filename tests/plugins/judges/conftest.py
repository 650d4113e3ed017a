"""A fixture for judges behind a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback import Serve, loopback_servers


@pytest.fixture
def judge_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """A function that starts a model that judges with faults."""
    with loopback_servers(tmp_path, monkeypatch) as make:
        yield make

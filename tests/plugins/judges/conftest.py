"""Loopback judges, each a process that tests may kill and start again."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.token_rewards.conftest import RewardServer


class JudgeServer(RewardServer):
    """A model that judges."""

    program = "judge_server.py"


@pytest.fixture
def judge_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., JudgeServer]]:
    """A function that starts a judge with faults; replies are kept in a folder of the test."""
    monkeypatch.setenv("TGDPO_STORE", str(tmp_path / "store"))
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    servers: list[JudgeServer] = []

    def make(**faults: Any) -> JudgeServer:
        servers.append(JudgeServer(tmp_path / f"judge{len(servers)}", faults))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()

"""Loopback reward servers, each a process that tests may kill and start again."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = Path(__file__).parents[2]


class RewardServer:
    """A server with faults; it keeps its port and its log of answers when it is started again."""

    program = "remote_server.py"

    def __init__(self, folder: Path, faults: dict[str, Any]) -> None:
        self.folder = folder
        folder.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes]
        self.start(**faults)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, **faults: Any) -> None:
        """Start it (again) with some faults, and wait until it listens."""
        arguments = [str(self.port), str(self.folder), json.dumps(faults)]
        self.process = subprocess.Popen(
            [sys.executable, "-S", str(PROGRAMS / self.program), *arguments]
        )
        for _ in range(200):
            try:
                self.stats()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("the server does not listen")

    def stop(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def stats(self) -> dict[str, Any]:
        """Return what this process of it has counted."""
        with urllib.request.urlopen(self.url, timeout=5) as response:
            counts: dict[str, Any] = json.load(response)
        return counts

    def answered(self) -> list[str]:
        """Return what was asked, of every answer that was sent, over all its lives."""
        log = self.folder / "answered.jsonl"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., RewardServer]]:
    """A function that starts a server with faults."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    servers: list[RewardServer] = []

    def make(**faults: Any) -> RewardServer:
        servers.append(RewardServer(tmp_path / f"server{len(servers)}", faults))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()

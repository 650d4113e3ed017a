"""Loopback servers that judge and score, each a process that tests may kill and start again."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parent / "loopback_server.py"


class LoopbackServer:
    """A server with faults; it keeps its port and its log of answers when it is started again."""

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
        self.process = subprocess.Popen([sys.executable, "-S", str(PROGRAM), *arguments])
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
        """Return what was asked, of every answer, over all its lives."""
        log = self.folder / "answered.jsonl"
        return log.read_text().splitlines() if log.exists() else []


Serve = Callable[..., LoopbackServer]


@contextmanager
def loopback_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Yield a function that starts a server with faults; all are killed in the end."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    servers: list[LoopbackServer] = []

    def make(**faults: Any) -> LoopbackServer:
        servers.append(LoopbackServer(tmp_path / f"server{len(servers)}", faults))
        return servers[-1]

    try:
        yield make
    finally:
        for server in servers:
            server.stop()

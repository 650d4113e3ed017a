"""A server with OpenAI's interface, on a free port of this machine, with faults."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """Answers every request with its seed; notes what was asked.

    Attributes:
        asked: path, key and body of every request that was answered.
        faults: answers to the first requests: a status, or a body.
        meet: requests are answered once so many have been under way at a time.
    """

    daemon_threads = True

    def __init__(self, faults: list[Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str | None, dict[str, Any]]] = []
        self.faults = faults
        self.lock = threading.Lock()
        self.met = threading.Event()
        self.meet = 1
        self.under_way = self.most_under_way = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.under_way += 1
            self.server.most_under_way = max(self.server.most_under_way, self.server.under_way)
            if self.server.under_way >= self.server.meet:
                self.server.met.set()
            fault = self.server.faults.pop(0) if self.server.faults else None
        self.server.met.wait(60)
        try:
            self._answer(body, fault)
        finally:
            with self.server.lock:
                self.server.under_way -= 1

    def _answer(self, body: dict[str, Any], fault: Any) -> None:
        if isinstance(fault, int):
            return self._send(fault, {"error": "no"})
        if fault is not None:
            return self._send(200, fault)
        with self.server.lock:
            self.server.asked.append((self.path, self.headers["authorization"], body))
        seed = body.get("seed", "greedy")
        text = f"answer {seed}"
        said = {"text": text} if "prompt" in body else {"message": {"content": text}}
        is_cut = isinstance(seed, int) and seed % 2 == 0
        choice = {**said, "finish_reason": "length" if is_cut else "stop"}
        return self._send(200, {"choices": [choice], "usage": {"completion_tokens": 7}})

    def _send(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def openai_server(faults: list[Any] | None = None) -> Iterator[Server]:
    """Run a server in a thread."""
    server = Server(faults or [])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

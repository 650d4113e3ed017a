"""A server of its own process, with faults: python loopback_server.py PORT FOLDER JSON-FAULTS.

It judges as a chat model (``loopback_judge``) and scores in three protocols (``loopback_rewards``):
the path says which. Every answer is noted in FOLDER/answered.jsonl, which a new process of
the same folder goes on with: so answers are counted across its deaths.

FAULTS of every kind: ``key``: the only one that is let in; ``latency``: seconds; ``fail_every`` N:
every N-th request has ``status`` (503), with ``retry_after``; ``dies_at`` N: it ends there;
``broke_at`` N: later requests are a 402; ``hold_after`` N: later ones wait for ever; ``meet`` N:
all wait until N were under way at a time. Those of one kind stand where its answers are made.
"""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import loopback_judge
import loopback_rewards

PORT, FOLDER, FAULTS = int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
LOCK = threading.Lock()
MET = threading.Event()  # as many requests as "meet" says were under way at a time
LOG = FOLDER / "answered.jsonl"
COUNTS: dict[str, Any] = {"requests": 0, "live": 0, "peak": 0, "headers": []}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        with LOCK:
            self._send(200, {k: v for k, v in COUNTS.items() if k != "live"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with LOCK:
            COUNTS["requests"] += 1
            number = COUNTS["requests"]
            COUNTS["live"] += 1
            COUNTS["peak"] = max(COUNTS["peak"], COUNTS["live"])
            if COUNTS["peak"] >= FAULTS.get("meet", 1):
                MET.set()
            COUNTS["headers"] = [*COUNTS["headers"][-9:], dict(self.headers)]
        if number > FAULTS.get("hold_after", number):
            time.sleep(3600)
        MET.wait(60 if number > 1 else 0.5)  # the first is asked alone, to see if all goes well
        time.sleep(FAULTS.get("latency", 0.0))
        with LOCK:
            COUNTS["live"] -= 1
            self._answer(asked, number)

    def _answer(self, asked: dict[str, Any], number: int) -> None:
        """Answer and note it: no other thread ends the process in between."""
        key = FAULTS.get("key")
        if key and self.headers.get("authorization") != f"Bearer {key}":
            self._send(401, {"error": f"bad key {self.headers.get('authorization')}"})
        elif FAULTS.get("fail_every") and number % FAULTS["fail_every"] == 0:
            self._send(FAULTS.get("status", 503), {"error": "busy"}, FAULTS.get("retry_after"))
        elif FAULTS.get("dies_at") == number:
            os._exit(9)
        elif number > FAULTS.get("broke_at", number):
            self._send(402, {"error": "no money left"})
        else:
            is_chat = self.path.endswith("/chat/completions")
            kind = loopback_judge if is_chat else loopback_rewards
            with LOG.open("a") as log:
                log.write(json.dumps(asked) + "\n")
            self._send(*kind.answer(self.path, asked, FAULTS))

    def _send(self, status: int, said: Any, retry_after: float | None = None) -> None:
        data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        if retry_after is not None:
            self.send_header("retry-after", str(retry_after))
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


Server(("127.0.0.1", PORT), Handler).serve_forever()

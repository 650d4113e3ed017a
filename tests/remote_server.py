"""A reward server of its own process, with faults: python remote_server.py PORT FOLDER JSON-FAULTS.

It answers three protocols, and notes every answer that it has sent in FOLDER/answered.jsonl, which
a new process of the same folder reads: so answers are counted across its deaths.
"""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

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
        body = self.rfile.read(int(self.headers["content-length"]))
        with LOCK:
            COUNTS["requests"] += 1
            number = COUNTS["requests"]
            COUNTS["live"] += 1
            COUNTS["peak"] = max(COUNTS["peak"], COUNTS["live"])
            if COUNTS["peak"] >= FAULTS.get("meet", 1):
                MET.set()
            COUNTS["headers"] = [*COUNTS["headers"][-9:], dict(self.headers)]
        MET.wait(60)
        time.sleep(FAULTS.get("latency", 0.0))
        with LOCK:
            COUNTS["live"] -= 1
        self._answer(json.loads(body), number)

    def _answer(self, asked: dict[str, Any], number: int) -> None:
        key = FAULTS.get("key")
        if key and self.headers.get("authorization") != f"Bearer {key}":
            self._send(401, {"error": f"bad key {self.headers.get('authorization')}"})
        elif FAULTS.get("fail_every") and number % FAULTS["fail_every"] == 0:
            self._send(FAULTS.get("status", 503), {"error": "busy"}, FAULTS.get("retry_after"))
        elif FAULTS.get("dies_at") == number:
            os._exit(9)
        elif FAULTS.get("broke_at") and number > FAULTS["broke_at"]:
            self._send(402, {"error": "no money left"})
        else:
            self._send(200, reply(self.path, asked))
            with LOCK, LOG.open("a") as log:
                log.write(json.dumps(asked) + "\n")

    def _send(self, status: int, answer: Any, retry_after: float | None = None) -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        if retry_after is not None:
            self.send_header("retry-after", str(retry_after))
        self.end_headers()
        self.wfile.write(data)


def value(text: str) -> float:
    """Return a score of a text in [0, 1): the share of letters e."""
    return text.count("e") / (1 + len(text))


def reply(path: str, asked: dict[str, Any]) -> Any:
    """Return the answer, or the wrong one that FAULTS ask for on texts with the word."""
    if FAULTS.get("word", "\0") in json.dumps(asked):
        wrong = FAULTS["wrong"]
        return wrong.encode() if isinstance(wrong, str) else wrong
    if path == "/pooling":
        if isinstance(asked.get("input"), list):
            return {"data": [{"data": [[i / 1000] for i in asked["input"]]}]}
        text = asked["input"] if "input" in asked else asked["messages"][-1]["content"]
        steps = text.split("<extra_0>")[:-1]
        return {"data": [{"data": [[1 - value(s), value(s)] for s in steps]}]}
    if path == "/score":
        return {"data": [{"index": i, "score": value(t)} for i, t in enumerate(asked["text_2"])]}
    if asked.get("steps"):
        return {"scores": [value(step) for step in asked["steps"]]}
    return {"score": value(asked["response"])}


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


Server(("127.0.0.1", PORT), Handler).serve_forever()

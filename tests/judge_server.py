"""A model that judges, in a process of its own: python judge_server.py PORT FOLDER JSON-FAULTS.

It speaks OpenAI's chat completions. What it thinks of an answer stands there: ``quality=7``.
FAULTS:
``bias`` is the share of pairs of answers in which it prefers the first place whatever they are;
``fail_every`` N: every N-th request is a 503; ``key``; ``hold_after`` N: requests behind the N-th
wait for ever; ``says``: word in the request -> text of the reply, or JSON of the whole answer, or
a list of status and JSON; ``usage``: false leaves token counts out.
It notes what it has answered in FOLDER/answered.jsonl, across its lives.
"""

import hashlib
import json
import re
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
COUNTS: dict[str, Any] = {"requests": 0, "peak": 0, "live": 0, "headers": []}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        with LOCK:
            self._send(200, COUNTS)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with LOCK:
            COUNTS["requests"] += 1
            number = COUNTS["requests"]
            COUNTS["live"] += 1
            COUNTS["peak"] = max(COUNTS["peak"], COUNTS["live"])
            if COUNTS["peak"] >= FAULTS.get("meet", 1):
                MET.set()
            COUNTS["headers"] = [dict(self.headers)]
        if number > FAULTS.get("hold_after", 10**9):
            time.sleep(3600)
        MET.wait(60)
        time.sleep(FAULTS.get("latency", 0.0))
        with LOCK:
            COUNTS["live"] -= 1
        key = FAULTS.get("key")
        if key and self.headers.get("authorization") != f"Bearer {key}":
            self._send(401, {"error": f"bad key {self.headers.get('authorization')}"})
        elif FAULTS.get("fail_every") and number % FAULTS["fail_every"] == 0:
            self._send(503, {"error": "busy"})
        else:
            with LOCK, LOG.open("a") as log:
                log.write(json.dumps(asked) + "\n")
            self._send(*answer(asked))

    def _send(self, status: int, said: Any) -> None:
        data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def answer(asked: dict[str, Any]) -> tuple[int, Any]:
    """Return status and JSON: what FAULTS say of a word in the request, or a verdict."""
    text = json.dumps(asked["messages"])
    for word, said in FAULTS.get("says", {}).items():
        if word in text:
            if isinstance(said, list):
                return said[0], said[1]
            return 200, completion(said) if isinstance(said, str) else said
    return 200, completion(verdict(asked["messages"]))


def completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"usage": {"prompt_tokens": 1000, "completion_tokens": 50}}
    counted = usage if FAULTS.get("usage", True) else {}
    return {"object": "chat.completion", "model": "judge-0613", "choices": [choice], **counted}


def verdict(messages: list[dict[str, str]]) -> str:
    qualities = [int(q) for q in re.findall(r"quality=(\d+)", messages[-1]["content"])]
    if len(qualities) == 1:
        return f"It is what it is. Rating: [[{qualities[0]}]]"
    first, second = qualities
    numbers = re.findall(r"prompt (\d+)", messages[-1]["content"])
    digest = hashlib.blake2b(str(numbers[0]).encode(), digest_size=4).digest()
    is_biased = int.from_bytes(digest, "big") / 2**32 < FAULTS.get("bias", 0.0)
    letter = "A" if is_biased or first > second else "B" if second > first else "C"
    system = messages[0]["content"]
    if "[[A>>B]]" in system:
        return {"A": "[[A>B]]", "B": "[[B>>A]]", "C": "[[A=B]]"}[letter]
    if "m or M" in messages[-1]["content"]:
        return {"A": "m", "B": "M", "C": "m"}[letter]
    return f"I compared them.\n\nMy verdict: [[{letter}]]"


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


Server(("127.0.0.1", PORT), Handler).serve_forever()

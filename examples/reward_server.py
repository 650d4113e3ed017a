"""A reward server in thirty lines: python reward_server.py [PORT]. See docs/remote-rewards.md."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def score(prompt, step):
    """Return how good a step is, from 0 to 1: put your model here."""
    return 1 / (1 + len(step.split()))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        scores = [score(asked["prompt"], step) for step in asked["steps"]]
        answer = json.dumps({"scores": scores}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


ThreadingHTTPServer.request_queue_size = 256  # as many may knock at once

if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tgdpo_reward_step_server.reward import StepServer
from tgdpo_reward_step_server.steps import split_steps

from tgdpo_core.testing import TokenRewardContract, make_examples


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answered = 0

    def log_message(self, *_):
        pass

    def do_POST(self):
        type(self).answered += 1
        steps = json.loads(self.rfile.read(int(self.headers["content-length"])))["steps"]
        fails = self.answered % 5 == 0
        answer = json.dumps({"scores": [len(step) / 1000 for step in steps]}).encode()
        self.send_response(503 if fails else 200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@pytest.fixture(scope="module")
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class TestStepServer(TokenRewardContract):
    @pytest.fixture(autouse=True)
    def _served(self, url):
        self.plugin = StepServer(url=url)


def test_lines_are_the_steps():
    assert list(split_steps("a b\n\nc")) == [(0, 4, "a b"), (5, 6, "c")]


def test_a_step_gets_2p_minus_1(url):
    reward = StepServer(url=url)
    rows = [{"prompt": "Q", "chosen": "one\nthree", "rejected": "no"}]

    async def ask():
        await reward.setup(None)
        spans = await reward.score_one(make_examples(rows)[0])
        await reward.teardown()
        return spans

    items = asyncio.run(ask()).items
    assert [value for _, _, value in items] == pytest.approx([2 * 0.003 - 1, 2 * 0.005 - 1])

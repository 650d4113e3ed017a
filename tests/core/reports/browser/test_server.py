"""The browser on the loopback address: what it answers, and to whom it does not."""

import http.client
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tgdpo_core.errors import UsageError
from tgdpo_core.reports.browser.content import Browser
from tgdpo_core.reports.browser.numbers import PairSource, pair_numbers
from tgdpo_core.reports.browser.server import HOST, application, listening
from tgdpo_core.scoring.pairs import ScoredPair

Ask = Callable[..., http.client.HTTPResponse]


@pytest.fixture
def ask(many: list[ScoredPair], make_source: Callable[..., PairSource]) -> Iterator[Ask]:
    """Asks a server that runs in a thread."""
    import uvicorn

    source = make_source(many)
    app: Any = application(Browser(source, pair_numbers(source), 20))
    sock = listening(0)
    port = sock.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()

    def get(path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(HOST, port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        answer = connection.getresponse()
        answer.body = answer.read()  # type: ignore[attr-defined]
        connection.close()
        return answer

    yield get
    server.should_exit = True
    thread.join(10)
    sock.close()


def test_page_script_columns_and_pairs_are_answered(ask: Ask) -> None:
    for path in ("/", "/browser.js", "/drawing.js", "/columns/gap.js", "/pairs/2.js"):
        answer = ask(path)
        assert answer.status == 200, path
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "script-src 'self';" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["/pairs/3.js", "/pairs/-1.js", "/columns/x.js", "/columns/..%2fx.js", "/etc/passwd"]
)
def test_what_is_not_there_is_not_found(ask: Ask, path: str) -> None:
    assert ask(path).status == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil"])
def test_another_hosts_name_is_refused(ask: Ask, host: str) -> None:
    assert ask("/pairs/0.js", Host=host).status == 400


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_the_page_of_another_site_gets_nothing(ask: Ask, site: str) -> None:
    assert ask("/pairs/0.js", Sec_Fetch_Site=site).status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(ask: Ask, method: str) -> None:
    assert ask("/", method).status == 405


def test_only_the_loopback_address_is_listened_to() -> None:
    with listening(0) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"
        with pytest.raises(UsageError, match="cannot be used"):
            listening(sock.getsockname()[1])

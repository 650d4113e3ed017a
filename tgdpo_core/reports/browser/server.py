"""The token browser on this machine's loopback address; nothing can be written through it.

Data of people's prompts are served, so other web pages in the same browser must not get at them:
requests under another host's name are refused (DNS rebinding), and so are those that another
site's page makes (``Sec-Fetch-Site``, ``Cross-Origin-Resource-Policy``).
"""

import contextlib
import functools
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tgdpo_core.environment_secrets import without_secrets
from tgdpo_core.errors import UsageError
from tgdpo_core.reports.browser.content import SCRIPTS, Browser, script

if TYPE_CHECKING:
    from starlette.applications import Starlette

HOST = "127.0.0.1"
_NAMES = [HOST, "localhost"]
_PARTS_KEPT = 64
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def require_packages() -> None:
    """Make sure that the web library is there.

    Raises:
        UsageError: it is not installed.
    """
    import importlib.util

    missing = [name for name in ("starlette", "uvicorn") if not importlib.util.find_spec(name)]
    if missing:
        raise UsageError(
            f"--serve needs {' and '.join(missing)}: pip install 'tgdpo[browser]'. Or write the "
            "same pages as files: --pages FOLDER."
        )


def listening(port: int) -> socket.socket:
    """Return a socket of the loopback address.

    Raises:
        UsageError: the port is taken or not allowed.
    """
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen()  # two sockets may be bound to one port, one listens
    except OSError as error:
        found.close()
        raise UsageError(
            f"--port {port} of {HOST} cannot be used: {error.strerror}. Choose another one; 0 "
            "takes any that is free."
        ) from error
    return found


def serve(browser: Browser, sock: socket.socket) -> None:
    """Serve until the process is interrupted."""
    import uvicorn

    config = uvicorn.Config(
        application(browser), log_level="warning", access_log=False, server_header=False
    )
    with sock, contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[sock])


def application(browser: Browser) -> "Starlette":
    """Return the web application: the page, its script, columns and parts of the pairs."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    lock = threading.Lock()  # plugins of transforms and shapings are called one at a time
    part = functools.lru_cache(_PARTS_KEPT)(browser.part)

    def answer(kind: str, make: Callable[[Request], str]) -> Callable[[Request], Response]:
        def respond(request: Request) -> Response:
            if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
                raise HTTPException(403, "asked for by another site", _HEADERS)
            try:
                with lock:
                    text = make(request)
            except KeyError:
                raise HTTPException(404, headers=_HEADERS) from None
            return Response(without_secrets(text), media_type=kind, headers=_HEADERS)

        return respond

    def own_script(name: str) -> Callable[[Any], str]:
        return lambda _: script(name)

    def route(path: str, kind: str, make: Callable[[Any], str]) -> Route:
        return Route(path, answer(kind, make), methods=["GET"])

    javascript = "text/javascript"
    return Starlette(
        routes=[
            route("/", "text/html", lambda _: browser.page("'self'")),
            *(route(f"/{name}", javascript, own_script(name)) for name in SCRIPTS),
            route(
                "/columns/{name}.js", javascript, lambda r: browser.column(r.path_params["name"])
            ),
            route("/pairs/{number:int}.js", javascript, lambda r: part(r.path_params["number"])),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_NAMES, www_redirect=False)],
    )

"""Requests to a reward server: as often as they may be sent, again where that may help."""

import hashlib
import json
import logging
import random
import time
from dataclasses import dataclass
from typing import Any

import httpx2
from aiolimiter import AsyncLimiter
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_before_delay
from tenacity.wait import wait_exponential

logger = logging.getLogger(__name__)

_LATER = (408, 425, 429, 500, 502, 503, 504)  # what may be well a moment later
_MEANINGS = {
    401: "the key is missing or wrong",
    402: "the account is out of money",
    403: "the key may not do this",
    404: "nothing is served under this address, or no such model",
    422: "the server does not understand the request: is it another protocol?",
}
_LONGEST_PAUSE = 60.0
_SECONDS_BETWEEN_WORDS = 30.0


class ServerError(Exception):
    """A server refused, failed for too long, or said something else than JSON.

    Attributes:
        status: of its answer; None where there was none.
        said: the beginning of its answer.
    """

    def __init__(self, message: str, *, status: int | None = None, said: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.said = said


class _TryLater(ServerError):
    """A failure that may be over soon; ``pause`` is what the server asked for, in seconds."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


@dataclass(frozen=True)
class Manners:
    """How a server is treated.

    Attributes:
        concurrency: most connections.
        per_minute: most requests in a minute, or None.
        timeout: seconds for one answer.
        patience: seconds for which a request that fails is sent again.
    """

    concurrency: int
    per_minute: float | None
    timeout: float
    patience: float


class Transport:
    """Connections to one address; made and used in one event loop.

    Args:
        url: where requests are posted.
        key: sent as ``Authorization: Bearer``; None: none is sent.
        manners: how the server is treated.
    """

    def __init__(self, url: str, key: str | None, manners: Manners) -> None:
        self._url = url
        self._patience = manners.patience
        self._timeout = manners.timeout
        self._client = httpx2.AsyncClient(
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(manners.timeout, connect=min(10.0, manners.timeout), pool=None),
            limits=httpx2.Limits(
                max_connections=manners.concurrency, max_keepalive_connections=manners.concurrency
            ),
        )
        # A bucket of one second: the allowance of a minute is not spent in a burst.
        per_second = manners.per_minute / 60 if manners.per_minute else None
        self._limiter = (
            AsyncLimiter(max(1.0, per_second), max(1.0, 1 / per_second)) if per_second else None
        )
        self._num_repeated, self._told = 0, 0.0

    async def post(self, body: Any, *, patience: float | None = None) -> Any:
        """Return the JSON that the server answers to a body.

        Args:
            body: JSON.
            patience: in place of that of the manners.

        Raises:
            ServerError: it refused, or failed for longer than the patience.
        """
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(_TryLater),
            stop=stop_before_delay(self._patience if patience is None else patience),
            wait=_pause,
            before_sleep=self._note,
            reraise=True,
        )
        return await attempts(self._once, json.dumps(body).encode())

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _once(self, content: bytes) -> Any:
        if self._limiter:
            await self._limiter.acquire()
        headers = {
            "content-type": "application/json",
            # A server that knows it answers a repeated request from memory, and bills it once.
            "idempotency-key": hashlib.blake2b(content, digest_size=16).hexdigest(),
        }
        try:
            response = await self._client.post(self._url, content=content, headers=headers)
        except httpx2.ReadTimeout as error:
            raise _TryLater(
                f"no answer from {self._url} within {self._timeout:g} s (timeout=)"
            ) from error
        except httpx2.TransportError as error:
            raise _TryLater(f"{self._url}: {type(error).__name__} {error}".strip()) from error
        return self._read(response)

    def _read(self, response: httpx2.Response) -> Any:
        status = response.status_code
        text = response.text
        said = text[:200].strip()
        if status in _LATER:
            pause = _seconds(response.headers.get("retry-after"))
            raise _TryLater(f"{status} from {self._url}: {said}", pause)
        if status != 200:
            meaning = _MEANINGS.get(status, response.reason_phrase)
            raise ServerError(
                f"{status} from {self._url}: {meaning}. It said: {said!r}",
                status=status,
                said=text[:2000],
            )
        try:
            return response.json()
        except ValueError:
            raise ServerError(f"{self._url} answered 200 with what is no JSON: {said!r}") from None

    def _note(self, state: RetryCallState) -> None:
        """Say now and then that requests are repeated."""
        self._num_repeated += 1
        now = time.monotonic()
        if now - self._told > _SECONDS_BETWEEN_WORDS:
            self._told = now
            error = state.outcome.exception() if state.outcome else None
            logger.warning("%s; trying again (%d times so far).", error, self._num_repeated)


_backoff = wait_exponential(multiplier=0.2, max=_LONGEST_PAUSE)
_jitter = random.Random()  # of its own: the global state is the run's


def _pause(state: RetryCallState) -> float:
    """Return seconds until the next attempt: what the server asked for, or twice the last pause."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.pause if isinstance(error, _TryLater) else None
    return (
        min(asked, _LONGEST_PAUSE)
        if asked is not None
        else _backoff(state) * _jitter.uniform(0.5, 1)
    )


def _seconds(text: str | None) -> float | None:
    """Return a Retry-After header in seconds; None for a date, which clocks disagree on."""
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None

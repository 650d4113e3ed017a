"""The engine ``openai``: a server with OpenAI's interface, asked over HTTP with many calls at once.

One call an answer, with its own seed, so that what is drawn beside it has no part in it; a server
that knows a prompt reads it once all the same. The key comes from the environment alone.
"""

import asyncio
import os
import queue
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import DataError, MachineError, UsageError
from tgdpo_core.generation.answers import Answer
from tgdpo_core.generation.engine import Drawn, Engine, Request
from tgdpo_core.generation.engine_options import read_options
from tgdpo_core.generation.prompts import formed
from tgdpo_core.generation.sampling import Sampling
from tgdpo_core.generation.stopping import say_once
from tgdpo_core.server_address import require_plain_address

KEYS = ("TGDPO_OPENAI_KEY", "OPENAI_API_KEY")
"""Variables of the environment that hold the key, the first that is set."""

_MODULES = ("aiolimiter", "httpx2", "tenacity")
_CALLS_A_BATCH = 8  # for every call under way: the store is looked at between batches

_EXAMPLE = "http://localhost:8000/v1"


@dataclass(frozen=True)
class ServedOptions:
    """Options of the engine.

    Attributes:
        url: address of the server, up to and with ``/v1``.
        version: of the served model; change it when its answers change.
        concurrency: calls under way at once.
        requests_per_minute: most calls in a minute; 0: as many as come.
        timeout: seconds for one answer.
        patience: seconds for which a failing call is repeated.
        length_field: what the server calls the most tokens of an answer: ``max_tokens``, or
            ``max_completion_tokens``.
    """

    url: str
    version: str = ""
    concurrency: int = 16
    requests_per_minute: float = 0.0
    timeout: float = 600.0
    patience: float = 300.0
    length_field: str = "max_tokens"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        try:
            require_plain_address(
                self.url, example=_EXAMPLE, kept_with="the answers", variable=KEYS[0]
            )
        except ValueError as error:
            raise UsageError(f"{error}.") from error
        if self.concurrency < 1 or self.timeout <= 0 or self.patience <= 0:
            raise UsageError("concurrency, timeout and patience must be above 0.")


def open_served(model: str, args: Mapping[str, str]) -> "Served":
    """Return the engine for a served model.

    Raises:
        UsageError: no address, an unknown option, or a missing package.
    """
    from importlib.util import find_spec

    missing = [name for name in _MODULES if find_spec(name) is None]
    if missing:
        raise UsageError(f"{', '.join(missing)} not installed: pip install 'tgdpo[remote]'")
    return Served(model, read_options(ServedOptions, args, "openai"))


class Served(Engine):
    """Answers of a model behind a server.

    Args:
        model: its name there.
        options: address and manners.
    """

    name = "openai"

    def __init__(self, model: str, options: ServedOptions) -> None:
        self._model = model
        self._options = options
        self.together = _CALLS_A_BATCH * options.concurrency

    def document(self) -> Mapping[str, Any]:
        """Return the model's name and version, and the address of its server."""
        return {
            "engine": self.name,
            "model": self._model,
            "version": self._options.version,
            "url": self._options.url.rstrip("/"),
        }

    def lay_out(self, prompts: Sequence[PreferencePair], sampling: Sampling) -> list[Any]:
        """Return text for raw completions, and ``{"messages": ..., "tools": ...}`` for chats.

        Raises:
            DataError: a prompt cannot have the form asked for.
        """
        return [_sent(row) for row in formed(prompts, sampling)]

    def draw(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Drawn]]:
        """Yield the answers as they come.

        Raises:
            MachineError: the server refused, failed for too long, or said what is no answer.
        """
        from tgdpo_core.scoring.event_loop import start

        come: queue.SimpleQueue[tuple[int, Drawn | BaseException]] = queue.SimpleQueue()
        all_calls = start(self._ask_all(requests, sampling, come))
        try:
            for _ in requests:
                number, found = come.get()
                if isinstance(found, BaseException):
                    raise found
                yield number, found
        finally:
            all_calls.cancel()

    async def _ask_all(
        self,
        requests: Sequence[Request],
        sampling: Sampling,
        come: "queue.SimpleQueue[tuple[int, Drawn | BaseException]]",
    ) -> None:
        """Put number and answer of each request into a queue, or what went wrong."""
        from tgdpo_core.http_calls import Manners, ServerError, Transport

        options = self._options
        manners = Manners(
            options.concurrency,
            options.requests_per_minute or None,
            options.timeout,
            options.patience,
        )
        transports = {
            place: Transport(f"{options.url.rstrip('/')}/{place}", _key(), manners)
            for place in ("chat/completions", "completions")
        }
        room = asyncio.Semaphore(options.concurrency)
        has_failed = asyncio.Event()

        async def ask(number: int, request: Request) -> None:
            place = "completions" if isinstance(request.prompt, str) else "chat/completions"
            async with room:
                if has_failed.is_set():  # nobody would keep the answer
                    return
                try:
                    reply = await transports[place].post(self._body(request, sampling))
                    come.put((number, _drawn(reply, request.seed)))
                except (ServerError, ValueError) as error:
                    has_failed.set()
                    said = f"openai, model '{self._model}': {error}."
                    come.put((number, MachineError(f"{said} The answers before it are kept.")))

        try:
            await asyncio.gather(*(ask(i, each) for i, each in enumerate(requests)))
        except Exception as error:  # noqa: BLE001 - raised where the answers are read
            come.put((-1, error))
        finally:
            for transport in transports.values():
                await transport.close()

    def _body(self, request: Request, sampling: Sampling) -> dict[str, Any]:
        """Return the JSON that is sent."""
        prompt = request.prompt
        drawn = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": request.seed,
        }
        return {
            "model": self._model,
            **({"prompt": prompt} if isinstance(prompt, str) else prompt),
            self._options.length_field: sampling.max_new_tokens,
            **({"temperature": 0} if request.seed is None else drawn),
        }


def _key() -> str | None:
    return next((os.environ[name] for name in KEYS if os.environ.get(name)), None)


def _sent(row: PreferencePair) -> Any:
    if row.template_kwargs:
        raise DataError(
            f"{row.where}: the server lays out chats itself; template variables "
            f"({', '.join(row.template_kwargs)}) do not reach it. Leave them out."
        )
    if isinstance(row.prompt, str):
        return row.prompt
    tools = {"tools": list(row.tools)} if row.tools else {}
    return {"messages": [dict(message) for message in row.prompt], **tools}


def _drawn(reply: Any, seed: int | None) -> Drawn:
    """Return the answer in a reply.

    Raises:
        ValueError: there is none, or its end or length is not said.
    """
    try:
        choice = reply["choices"][0]
        text = choice["text"] if "text" in choice else choice["message"]["content"]
        reason, num_tokens = choice["finish_reason"], reply["usage"]["completion_tokens"]
    except (LookupError, TypeError) as error:
        raise ValueError(f"the reply is no completion ({error!r}): {str(reply)[:200]}") from error
    is_count = isinstance(num_tokens, int) and not isinstance(num_tokens, bool) and num_tokens >= 0
    if not is_count or not isinstance(text, str | type(None)):
        raise ValueError(f"the reply is no completion: {str(reply)[:200]}")
    if reason not in ("stop", "length"):
        say_once(f"An answer ended with finish_reason={reason!r}; it counts as unfinished.")
    return Drawn(Answer(text or "", reason == "stop", num_tokens, seed))

"""Asking a server about many things at once; every reply is kept as it comes, asked for once."""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tgdpo_core import KeptReplies
from tgdpo_core.http_calls import ServerError, Transport
from tgdpo_core.progress import stage
from tgdpo_plugins.judges.llm.verdicts import refusal_of, reply_of

_SECONDS_TO_FINISH = 30.0  # for calls under way when asking ends early
_SECONDS_TO_BEGIN = 10.0  # a wrong address shows within these
_UNJUDGED = "unjudged"  # the key of what is kept where a prompt was refused


@dataclass
class Tally:
    """What was asked.

    Attributes:
        asked: calls that were answered.
        reused: answers that were kept from before.
        refused: prompts that the server refused.
        input_tokens, output_tokens: as the server counts them, of the calls that say so.
        uncounted: calls whose tokens it does not say.
        served: the names under which the server says that models answered.
    """

    asked: int = 0
    reused: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    uncounted: int = 0
    served: Counter[str] = field(default_factory=Counter)

    def add(self, answer: Mapping[str, Any]) -> None:
        """Count an answer."""
        self.asked += 1
        self.served[str(answer.get("model"))] += 1
        usage = answer.get("usage")
        counts = [
            usage.get(name) if isinstance(usage, Mapping) else None
            for name in ("prompt_tokens", "completion_tokens")
        ]
        if isinstance(counts[0], int) and isinstance(counts[1], int):
            self.input_tokens += counts[0]
            self.output_tokens += counts[1]
        else:
            self.uncounted += 1


class Asker:
    """Asks one server; made, used and closed in one event loop.

    Args:
        transport: to the server.
        kept: where replies are kept.
        identity: what names the server's replies beside the request.
        concurrency: calls under way at once.
        label: what the progress bar says.
    """

    def __init__(
        self,
        transport: Transport,
        kept: KeptReplies,
        identity: Mapping[str, Any],
        *,
        concurrency: int,
        label: str,
    ) -> None:
        self._transport = transport
        self._kept = kept
        self._identity = identity
        self._concurrency = concurrency
        self._label = label
        self._workers: list[asyncio.Task[None]] = []
        self.tally = Tally()

    async def replies(self, bodies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the server's answer to each request, equal ones being asked once.

        ``unjudged_of`` tells the refusals of single prompts among them.

        Raises:
            ServerError: the server refused all of it, failed for too long, or does not answer with
                chat completions. What was answered is kept.
        """
        names = [json.dumps(body, sort_keys=True) for body in bodies]
        by_name = dict(zip(names, bodies, strict=True))
        found = {name: self._kept.get(self._asked(body)) for name, body in by_name.items()}
        todo = deque(name for name, reply in found.items() if reply is None)
        self.tally.reused += len(found) - len(todo)
        with stage(self._label, len(todo), "reply") as bar:
            try:
                if todo and not self.tally.asked:
                    # Alone: a wrong address or a refused key shows without all the others.
                    name = todo.popleft()
                    found[name] = await self._ask(by_name[name], patience=_SECONDS_TO_BEGIN)
                    bar.update()
                await self._all(todo, by_name, found, bar)
            except ServerError as error:
                raise ServerError(f"{error}. {self._state()}") from error
        return [found[name] for name in names]

    async def _all(
        self,
        todo: deque[str],
        by_name: Mapping[str, Mapping[str, Any]],
        found: dict[str, Any],
        bar: Any,
    ) -> None:
        async def work() -> None:
            while todo:
                name = todo.popleft()
                try:
                    found[name] = await self._ask(by_name[name])
                except BaseException:
                    todo.clear()  # nothing more is begun
                    raise
                bar.update()

        self._workers = [
            asyncio.create_task(work()) for _ in range(min(self._concurrency, len(todo)))
        ]
        try:
            # Shielded: after an interrupt the calls under way go on, and `close` waits for them.
            await asyncio.shield(asyncio.gather(*self._workers))
        except BaseException:
            todo.clear()
            raise

    async def _ask(
        self, body: Mapping[str, Any], patience: float | None = None
    ) -> Mapping[str, Any]:
        """Return the answer to one request, which is kept by then."""
        try:
            answer = await self._transport.post(body, patience=patience)
        except ServerError as error:
            unjudged = refusal_of(error.status, error.said)
            if unjudged is None:
                raise
            answer = {_UNJUDGED: unjudged.reason, "said": error.said}
            self.tally.refused += 1
        else:
            try:
                reply_of(answer)
            except ValueError as error:
                raise ServerError(str(error)) from error
            self.tally.add(answer)
        self._kept.add(self._asked(body), answer)
        return dict(answer)

    def _asked(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._identity, "body": body}

    def _state(self) -> str:
        return (
            f"{self.tally.asked} replies of this command are kept in {self._kept.path}; the same "
            "command asks only for the rest"
        )

    async def close(self) -> None:
        """Wait a while for calls under way, whose replies are paid for, and let go of the rest."""
        unfinished = [worker for worker in self._workers if not worker.done()]
        if unfinished:
            _, late = await asyncio.wait(unfinished, timeout=_SECONDS_TO_FINISH)
            for worker in late:
                worker.cancel()
        await self._transport.close()
        self._kept.close()


def unjudged_of(reply: Mapping[str, Any]) -> str | None:
    """Return why a prompt was refused; None for an answer."""
    reason = reply.get(_UNJUDGED)
    return str(reason) if reason is not None else None

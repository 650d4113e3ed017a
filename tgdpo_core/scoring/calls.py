"""How a reward plugin is called: one batch after the other, or several calls under way at once."""

import asyncio
import inspect
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple

from tgdpo_core.plugin_api.rewards import Example, TokenReward
from tgdpo_core.scoring.event_loop import start

_OF_ASYNC = 16  # calls under way at once, where the class does not say


@dataclass(frozen=True)
class Way:
    """How a reward wants to be called.

    Attributes:
        function: takes a list of examples; returns their results, or an awaitable of them.
        is_async: whether it returns an awaitable.
        per_call: most examples of one call; 0: any number.
        concurrency: most calls under way at once.
    """

    function: Callable[[list[Example]], Any]
    is_async: bool
    per_call: int
    concurrency: int

    @property
    def overlaps(self) -> bool:
        """Whether calls may be under way while others are."""
        return self.is_async or self.concurrency > 1

    def all_at_once(self, batch: list[Example]) -> Any:
        """Return the results of a batch, or an awaitable of them that keeps to the concurrency."""
        return self._gathered(batch) if self.is_async else self.function(batch)

    async def _gathered(self, batch: list[Example]) -> list[Any]:
        room = asyncio.Semaphore(self.concurrency)

        async def one(part: list[Example]) -> Any:
            async with room:
                return await self.function(part)

        parts = [batch[i : i + self.per_call] for i in range(0, len(batch), self.per_call)]
        return [result for results in await asyncio.gather(*map(one, parts)) for result in results]


def way_of(reward: TokenReward) -> Way:
    """Return how a reward wants to be called.

    Raises:
        ValueError: a batch size or a concurrency that is no count.
    """
    cls = type(reward)
    is_single = cls.score is TokenReward.score
    method: Callable[..., Any] = reward.score_one if is_single else reward.score
    is_async = inspect.iscoroutinefunction(method)
    for name in ("batch_size", "concurrency"):
        value = getattr(reward, name)
        if not isinstance(value, int) or value < 0:
            raise ValueError(f"{name} must be a whole number from 0 on, got {value!r}")
    concurrency = reward.concurrency or (_OF_ASYNC if is_async else 1)
    if not is_async and concurrency == 1:
        return Way(reward.score, is_async, 0 if is_single else reward.batch_size, concurrency)
    if is_single:
        return Way(_each(method, is_async), is_async, 1, concurrency)
    return Way(method, is_async, max(1, reward.batch_size), concurrency)


def _each(method: Callable[[Example], Any], is_async: bool) -> Callable[[list[Example]], Any]:
    """Return a function of a list with one example; its result is a list with one result."""

    async def awaited(batch: list[Example]) -> list[Any]:
        return [await method(example) for example in batch]

    return awaited if is_async else lambda batch: [method(example) for example in batch]


class Answer(NamedTuple):
    """What a call gave.

    Attributes:
        ticket: what the call was started with.
        batch: the list that the plugin was given.
        results: what it returned.
        error: what it raised, or None.
    """

    ticket: Any
    batch: list[Example]
    results: Any
    error: BaseException | None


class Calls:
    """Calls of a plugin under way at once; answers come as they are ready, not as asked.

    Args:
        way: how it is called.
    """

    def __init__(self, way: Way) -> None:
        self._way = way
        self._answers: deque[Answer] = deque()
        self._has_answers = threading.Condition()
        self._tasks: queue.SimpleQueue[tuple[Any, list[Example]] | None] = queue.SimpleQueue()
        self._num_threads = 0
        self._futures: set[Future[Any]] = set()
        self.num_under_way = 0

    def start(self, ticket: Any, batch: Sequence[Example]) -> None:
        """Start a call; the plugin gets a list of its own.

        Args:
            ticket: comes back with the answer.
            batch: what is asked about.
        """
        self.num_under_way += 1
        if self._way.is_async:
            future = start(self._awaited(ticket, list(batch)))
            self._futures.add(future)
            future.add_done_callback(self._futures.discard)
            return
        self._tasks.put((ticket, list(batch)))
        if self._num_threads < min(self._way.concurrency, self.num_under_way):
            self._num_threads += 1
            # Daemons: a call that hangs must not keep the command from ending.
            threading.Thread(target=self._work, daemon=True, name="plugin-call").start()

    def next(self, seconds: float) -> Answer | None:
        """Return the next answer that is ready; None if none is within some seconds.

        It stays the next one until it is dropped: an interrupt may come at any moment, also on the
        way out of here, and must not lose what was paid for.
        """
        with self._has_answers:
            self._has_answers.wait_for(lambda: self._answers, timeout=seconds)
            return self._answers[0] if self._answers else None

    def drop(self) -> None:
        """Forget the answer that ``next`` returned: it is kept elsewhere, or useless."""
        self._answers.popleft()
        self.num_under_way -= 1

    def close(self) -> None:
        """Give up the calls under way; those in threads run on, and nobody listens."""
        for future in list(self._futures):
            future.cancel()
        for _ in range(self._num_threads):
            self._tasks.put(None)
        self._num_threads = 0

    async def _awaited(self, ticket: Any, batch: list[Example]) -> None:
        try:
            results = await self._way.function(batch)
        except BaseException as error:
            self._add(Answer(ticket, batch, None, error))
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            self._add(Answer(ticket, batch, results, None))

    def _add(self, answer: Answer) -> None:
        with self._has_answers:
            self._answers.append(answer)
            self._has_answers.notify()

    def _work(self) -> None:
        while task := self._tasks.get():
            ticket, batch = task
            try:
                answer = Answer(ticket, batch, self._way.function(batch), None)
            except BaseException as error:  # noqa: BLE001 - it is raised where the answer is read
                answer = Answer(ticket, batch, None, error)
            self._add(answer)

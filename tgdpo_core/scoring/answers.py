"""Filling a collection with answers about single responses: every one is kept as it comes.

For rewards whose calls overlap: a server that many ask at once, and that is paid by the call. No
call waits for the slowest of a batch. A response is asked about once, however many pairs it is in:
its answer lies in the collection under a name of its own, and the pair's values are put together
when both responses are there. Whatever ends the pass, the calls under way are waited for and kept.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from tgdpo_core.data.pairs import SIDES, TokenizedPair
from tgdpo_core.data.token_table import Array, TokenTable
from tgdpo_core.errors import PluginError, TgdpoError
from tgdpo_core.plugin_api.rewards import Example, Side
from tgdpo_core.scoring.asked import Asked, cost_of
from tgdpo_core.scoring.calls import Answer, Calls, Way
from tgdpo_core.scoring.checks import checked_rewards, kept, one_each
from tgdpo_core.scoring.guard import (
    TIMEOUT,
    patience_and_limit,
    random_states_kept,
    require_batch_kept,
)
from tgdpo_core.scoring.plugin_errors import raise_named
from tgdpo_core.scoring.process_state import settings_kept_by
from tgdpo_core.scoring.response_names import response_names
from tgdpo_core.scoring.sources import RewardSource
from tgdpo_core.scoring.weights import split_sides
from tgdpo_core.store.collection import Collection
from tgdpo_core.store.located import Located

logger = logging.getLogger(__name__)

_SECONDS_TO_FINISH = 30.0  # for calls under way when the pass ends early
_SECONDS_BETWEEN_LOOKS = 1.0  # at what other processes have stored


@dataclass(eq=False)
class _Response:
    """A response that is asked about, and the rows that wait for it.

    Attributes:
        name: in the collection.
        example: what the plugin is given.
        kept: the same from before the call, to check its answer by.
        where: file and row, for messages.
        rows: that wait.
    """

    name: bytes
    example: Example
    kept: Example
    where: str
    rows: list[int]


@dataclass(eq=False)
class Answers:
    """The answers of one source about the responses of a table.

    Attributes:
        source: the plugin.
        way: how it is called.
        table: the pairs.
        reference: stored reference log-probs by row, read if the plugin needs them.
        collection: where answers go.
        entries: [P, 16] uint8, the store's name for each pair.
        set_up: called before the first call.
        asked: what was asked so far.
    """

    source: RewardSource
    way: Way
    table: TokenTable
    reference: Located
    collection: Collection
    entries: Array
    set_up: Callable[[], None]
    asked: Asked = field(default_factory=Asked)

    def __post_init__(self) -> None:
        self.cost = cost_of(self.source)
        self._waiting: dict[bytes, _Response] = {}
        self._missing: dict[int, set[bytes]] = {}
        self._next_batch: list[_Response] = []
        self._done: list[int] = []
        self._looked = time.monotonic()

    @property
    def rows_per_batch(self) -> int:
        """How many rows another process should be given at once."""
        return max(8, 4 * self.way.concurrency * self.way.per_call)

    def fill(self, rows: Iterable[int]) -> Iterator[int]:
        """Ask what the collection lacks of some rows; yield 1 for each row that is complete.

        Raises:
            PluginError: a call failed, or returned what cannot be used. What was answered is kept.
        """
        self._calls = Calls(self.way)
        try:
            with settings_kept_by(f"{self.source}, its calls"), random_states_kept(None):
                for row in rows:
                    self._begin(row)
                    yield from self._completed()
                self._start_batch()
                while self._calls.num_under_way:
                    self._take()
                    yield from self._completed()
        except BaseException as error:
            self._finish_calls()
            if isinstance(error, PluginError):
                message = f"{str(error).rstrip('.')}. {self._kept()}"
                raise type(error)(message) from error.__cause__
            raise
        finally:
            self._calls.close()
            self._waiting, self._missing, self._next_batch = {}, {}, []

    def _completed(self) -> Iterator[int]:
        done, self._done = self._done, []
        return (1 for _ in done)

    def _kept(self) -> str:
        money = self.asked.money(self.cost)
        return (
            f"{self.asked.responses} answers of this pass are stored"
            f"{f' ({money})' if money else ''}; the same command asks only for the rest."
        )

    # -- asking -----------------------------------------------------------------------------------

    def _begin(self, row: int) -> None:
        """Ask about the responses of a row, unless they are known or being asked about."""
        if self._is_stored_meanwhile(row):
            self._done.append(row)
            return
        pair = self.table[row]
        names = response_names(self.source, pair)
        lengths = [len(pair.response(side).ids) for side in SIDES]
        known = self.collection.verified(list(names), lengths)
        self.asked.reused += int(known.sum())
        lacking = {name for name, is_known in zip(names, known, strict=True) if not is_known}
        if not lacking:
            self._complete(row, names)
            return
        self._missing[row] = lacking
        for side, name in zip(SIDES, names, strict=True):
            if name in self._waiting:
                self._waiting[name].rows.append(row)
            elif name in lacking:
                self._ask(row, pair, side, name)

    def _is_stored_meanwhile(self, row: int) -> bool:
        now = time.monotonic()
        if now - self._looked > _SECONDS_BETWEEN_LOOKS:
            self._looked = now
            self.collection.refresh()
        return self.entries[row].tobytes() in self.collection

    def _ask(self, row: int, pair: TokenizedPair, side: Side, name: bytes) -> None:
        shared = {}
        if self.source.needs_reference:
            of_sides = split_sides(self.reference[row].clone(), pair)
            shared["reference_logps"] = of_sides[SIDES.index(side)]
        example = pair.example(side, columns=self.source.columns_of(pair.pair), shared=shared)
        (before,) = kept([example])
        response = _Response(name, example, before, pair.pair.where, [row])
        self._waiting[name] = response
        self._next_batch.append(response)
        if len(self._next_batch) >= self.way.per_call:
            self._start_batch()

    def _start_batch(self) -> None:
        """Start a call about what has been gathered, as soon as there is room for it."""
        if not self._next_batch:
            return
        batch, self._next_batch = self._next_batch, []
        self.set_up()
        # The first call goes alone: a wrong address or a refused key shows without 64 of them.
        while self._calls.num_under_way >= (self.way.concurrency if self.asked.calls else 1):
            self._take()
        self._calls.start(batch, [response.example for response in batch])

    # -- answers ----------------------------------------------------------------------------------

    def _take(self) -> None:
        """Wait for the next answer and keep it; a plugin that gives none is named."""
        patience, limit = patience_and_limit()
        began, told = time.monotonic(), patience
        while (answer := self._calls.next(seconds=min(0.5, patience, limit))) is None:
            waited = time.monotonic() - began
            if waited > told:
                logger.warning(
                    "%s: no answer for %.0f s, %d calls are under way.",
                    self.source,
                    waited,
                    self._calls.num_under_way,
                )
                told *= 2
            if waited > limit:
                raise PluginError(
                    f"{self.source} gave no answer for more than {limit:g} s and was stopped "
                    f"({TIMEOUT})."
                )
        self._keep(answer)

    def _keep(self, answer: Answer) -> None:
        """Store what can be used of an answer; raise ``PluginError`` for the rest of it.

        After an interrupt the same answer comes again.
        """
        try:
            self._keep_each(answer)
        except TgdpoError:
            self._calls.drop()
            raise
        self._calls.drop()

    def _keep_each(self, answer: Answer) -> None:
        batch: list[_Response] = answer.ticket
        who, where = str(self.source), _place(batch)
        if answer.error is not None:
            raise_named(who, where, answer.error)
        require_batch_kept(f"{who}, {where}", answer.batch, [each.example for each in batch])
        results = one_each(who, answer.results, len(batch), where)
        first_error = None
        for response, result in zip(batch, results, strict=True):
            try:
                values = checked_rewards(who, [result], [response.kept], [response.where])
            except PluginError as error:
                first_error = first_error or error
                continue
            self._store(response, values[0])
        self.asked.calls += 1
        if first_error:
            raise first_error

    def _store(self, response: _Response, values: torch.Tensor) -> None:
        """Store the values of a response, and of the pairs that waited for it alone."""
        if response.name not in self._waiting:  # stored before an interrupt came
            return
        self.collection.add([response.name], [values])
        del self._waiting[response.name]
        self.asked.responses += 1
        self.asked.tokens += len(response.kept.prompt_ids) + len(response.kept.response_ids)
        for row in response.rows:
            self._missing[row].discard(response.name)
            if not self._missing[row]:
                del self._missing[row]
                self._complete(row, response_names(self.source, self.table[row]))

    def _complete(self, row: int, names: tuple[bytes, bytes]) -> None:
        """Store the values of a pair, both of whose responses are stored."""
        values = torch.cat([self.collection[name] for name in names])
        self.collection.add([self.entries[row].tobytes()], [values])
        self._done.append(row)

    def _finish_calls(self) -> None:
        """Keep what the calls under way still give: it is paid for."""
        if self._calls.num_under_way:
            logger.warning(
                "%s: waiting up to %.0f s for the %d calls under way, to keep their answers.",
                self.source,
                _SECONDS_TO_FINISH,
                self._calls.num_under_way,
            )
        end = time.monotonic() + _SECONDS_TO_FINISH
        while self._calls.num_under_way and (left := end - time.monotonic()) > 0:
            answer = self._calls.next(seconds=min(0.5, left))
            if answer is None:
                continue
            try:
                self._keep(answer)
            except TgdpoError as error:
                logger.debug("%s", error)  # the first one is what the user is told


def _place(batch: Sequence[_Response]) -> str:
    """Return how messages name the responses of a call."""
    first = f"{batch[0].where} ({batch[0].example.side})"
    return first if len(batch) == 1 else f"{first} and {len(batch) - 1} more"

"""What a run leaves to look at: plots/tokens.json at its start, the page and its plots at its end.

A run that is done stays done whatever happens here: a failure is a line in the log and in run.json.
"""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from tgdpo_core.preparation.prepared import Prepared, sample_of
from tgdpo_core.reports.axes import label
from tgdpo_core.reports.runs.page import run_page
from tgdpo_core.reports.runs.reading import read_run
from tgdpo_core.reports.runs.tokens import FILE, PairGroup, TokenSheet, group, sheet_text
from tgdpo_core.scoring.pairs import ScoredPair
from tgdpo_core.training.metrics import PairMetrics
from tgdpo_core.training.run_folder import RunFolder
from tgdpo_core.training.run_reports import PAGE, plots_folder, write_page

logger = logging.getLogger(__name__)

_MOST_PAIRS = 4  # at each end
_MOST_WAITING = 1024  # pairs whose margins lie on the device
_CHOSEN, _REJECTED = (PairMetrics._fields.index(name) for name in ("reward_w", "reward_l"))
_DYNAMIC = " Dynamic rewards, which change in training, are not among the numbers shown."

_Seen = list[tuple[float, ScoredPair]]


class Pictures(TrainerCallback):
    """Keeps what the page shows of pairs while a run goes on, and writes the page.

    Args:
        prepared: the pairs, and what was found about them.
        tokenizer: names tokens without text.
        is_on: whether there is a page at all.
    """

    def __init__(self, prepared: Prepared, tokenizer: Any, *, is_on: bool) -> None:
        self._is_on = is_on
        self._prepared = prepared
        self._token_name: Callable[[int], str] = tokenizer.convert_ids_to_tokens
        self._waiting: list[tuple[Sequence[ScoredPair], torch.Tensor]] = []
        self._low: _Seen = []
        self._high: _Seen = []
        self._num_seen = 0
        self._num_waiting = 0

    def on_epoch_begin(self, *args: Any, **kwargs: Any) -> None:
        """Forget the margins of the epoch before."""
        self._waiting, self._low, self._high = [], [], []
        self._num_seen = self._num_waiting = 0

    def add(self, pairs: Sequence[ScoredPair], metrics: torch.Tensor) -> None:
        """Keep the unweighted margins of pairs; nothing is copied off the device.

        Args:
            pairs: of a step.
            metrics: [P, K], their ``PairMetrics``.
        """
        if not self._is_on:
            return
        self._waiting.append((pairs, metrics[:, _CHOSEN] - metrics[:, _REJECTED]))
        self._num_waiting += len(pairs)
        if self._num_waiting > _MOST_WAITING:
            self._fold()

    def begin(self, folder: RunFolder) -> None:
        """Write what is known of the tokens before training."""
        if self._is_on:
            self._safely(lambda: self._write_tokens(folder))

    def finish(self, folder: RunFolder) -> Mapping[str, Any]:
        """Write the page of a run that is done; return what run.json says about it."""
        if not self._is_on:
            return {}

        def write() -> None:
            self._fold()
            self._write_tokens(folder)
            run = read_run(folder.path, folder.path.resolve().name, "done")
            write_page(run_page([run]), folder.path, PAGE)

        error = self._safely(write)
        return {"report": {"written": error is None, **({"error": error} if error else {})}}

    def _safely(self, write: Callable[[], None]) -> str | None:
        """Write, and return what went wrong; the run goes on."""
        try:
            write()
        except Exception as error:  # noqa: BLE001 - no picture is worth a run
            message = f"{type(error).__name__}: {error}"
            logger.warning("The run's report was not written (the run goes on): %s", message)
            return message
        return None

    def _fold(self) -> None:
        """Keep the extreme ones of the margins that wait on the device."""
        if not self._waiting:
            return
        margins = torch.cat([values for _, values in self._waiting]).cpu().tolist()
        pairs = [pair for some, _ in self._waiting for pair in some]
        seen = list(zip(margins, pairs, strict=True))
        margin = itemgetter(0)
        self._low = sorted([*self._low, *seen], key=margin)[:_MOST_PAIRS]
        self._high = sorted([*self._high, *seen], key=margin, reverse=True)[:_MOST_PAIRS]
        self._num_seen += len(seen)
        self._waiting, self._num_waiting = [], 0

    def _write_tokens(self, folder: RunFolder) -> None:
        scored, found = self._prepared.scored.train, self._prepared.diagnostics
        sheet = TokenSheet(
            num_pairs=found.num_pairs,
            num_trained=len(scored),
            distributions=found.distributions,
            groups=[*self._by_margin(), *self._by_reward],
        )
        plots_folder(folder.path).write_text(FILE, sheet_text(sheet))

    def _by_margin(self) -> list[PairGroup]:
        """Return the pairs that the policy ranks worst and best."""
        if not self._num_seen or self._low[0][0] == self._high[0][0]:
            return []
        most = min(_MOST_PAIRS, max(1, self._num_seen // 2))
        of = (
            "By the unweighted margin (beta times the log-ratios, chosen minus rejected) when last "
            f"trained on, among {self._num_seen} pairs of the last epoch."
        )
        if self._prepared.scored.train.online:
            of += _DYNAMIC

        def named(title: str, seen: _Seen) -> PairGroup:
            pairs = [(pair, f"margin {label(margin)}") for margin, pair in seen[:most]]
            return group(title, of, pairs, self._token_name)

        return [
            named("Worst: the policy is most sure of the wrong order", self._low),
            named("Best: the policy is most sure of the right order", self._high),
        ]

    @functools.cached_property
    def _by_reward(self) -> list[PairGroup]:
        """The pairs in which the token reward is most against and for the preference.

        Looked at once: dynamic rewards are asked again for every look.
        """
        sample, found = sample_of(self._prepared.scored.train), self._prepared.diagnostics
        of = (
            f"By the mean reward of the chosen minus that of the rejected response, of "
            f"{found.num_pairs} training pairs, before training."
        )

        def named(title: str, rows: Sequence[int]) -> PairGroup:
            pairs = [sample[row] for row in rows]
            return group(title, of, [(p, f"gap {label(_gap(p))}") for p in pairs], self._token_name)

        return [
            named("The reward is most against the preference", found.lowest_gaps),
            named("The reward is most for the preference", found.highest_gaps),
        ]


def _gap(pair: ScoredPair) -> float:
    cut = len(pair.pair.chosen.ids)
    rewards = pair.token_rewards.numpy().astype(np.float64)
    return float(rewards[:cut].mean() - rewards[cut:].mean())

"""The judge ``llm``: a language model behind an OpenAI-compatible server grades or compares."""

import importlib.util
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from tgdpo_core import Comparison, Explained, Generation, Judge, Unjudged, option
from tgdpo_core.server_address import require_plain_address
from tgdpo_plugins.judges.llm import templates
from tgdpo_plugins.judges.llm.conversation import conversation_of
from tgdpo_plugins.judges.llm.verdicts import Rule, reply_of, verdict_of

if TYPE_CHECKING:
    from tgdpo_plugins.judges.llm.asking import Asker

logger = logging.getLogger(__name__)

_PACKAGES = ("aiolimiter", "httpx2", "tenacity")
_RULES: Mapping[tuple[str, str], Rule] = {
    ("mt-bench", "single"): "rating",
    ("mt-bench", "pairwise"): "letters",
    ("arena-hard", "pairwise"): "scale",
    ("alpaca-eval", "pairwise"): "names",
}
_MAX_TOKENS: Mapping[Rule, int] = {"rating": 2048, "letters": 2048, "scale": 4096, "names": 16}
_ABOVE_ZERO = ("concurrency", "timeout", "patience", "requests_per_minute", "max_tokens")
EMPTY = Unjudged("empty answer")


class LLMJudge(Judge):
    """A language model behind an OpenAI-compatible server, which grades answers or compares two.

    mode=single grades one answer from 1 to 10; mode=pairwise says which of two is better, and is
    asked in both orders by whoever compares. Every reply is kept as it comes and never asked for
    again. What has no verdict (prose, a cut or refused reply, an empty answer) is unjudged, with
    the reason; it is no zero. See docs/judges.md.
    """

    url: str = option(help="address of the server, such as http://localhost:8000/v1")
    model: str = option(help="name of the served model")
    mode: Literal["single", "pairwise"] = option("single", help="grade answers, or compare two")
    style: Literal["mt-bench", "alpaca-eval", "arena-hard"] = option(
        "mt-bench", help="whose way of asking: prompt and form of the verdict"
    )
    template: str = option("", help="file of your own prompt, in place of that of the style")
    verdict: Rule | None = option(
        None, help="form of the verdict, for a template of your own; unset: that of the style"
    )
    slight: float = option(0.75, help="what [[A>B]] counts on the scale, above 0.5 and up to 1")
    logprobs: bool = option(False, help="alpaca-eval: weigh the two letters by their probabilities")
    reference_column: str = option("reference", help="column of reference answers; empty: none")
    empty: Literal["unjudged", "ask"] = option("unjudged", help="what becomes of an empty answer")
    temperature: float = option(0.0, help="of the judge")
    seed: int | None = option(0, help="sent along; none: not sent")
    max_tokens: int | None = option(None, help="of a reply; unset: as the style needs")
    length_field: Literal["max_tokens", "max_completion_tokens"] = option(
        "max_tokens", help="what the server calls it"
    )
    body: dict[str, Any] = option(
        default_factory=dict, help='more JSON to send, such as {"reasoning_effort": "low"}'
    )
    version: str = option(
        "", help="of the served model; kept replies then belong to it, else to the address"
    )
    replies: str = option(
        "judge-replies.sqlite", help="file that keeps the replies; a mere name lies in the store"
    )

    api_key: str | None = option(
        None, secret=True, env="TGDPO_JUDGE_KEY", help="key of the server, if it wants one"
    )
    concurrency: int = option(16, help="calls under way at once")
    requests_per_minute: float | None = option(None, help="most calls in a minute")
    timeout: float = option(120.0, help="seconds for one reply")
    patience: float = option(300.0, help="seconds for which a failing call is repeated")
    price_per_1k_input: float | None = option(None, help="money for a thousand tokens sent")
    price_per_1k_output: float | None = option(None, help="money for a thousand tokens of replies")
    currency: str = option("USD", help="of the prices")

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if (self.style, self.mode) not in _RULES:
            raise ValueError(
                f"style={self.style} compares two answers: add mode=pairwise, or take "
                "style=mt-bench"
            )
        if (self._rule == "rating") != (self.mode == "single"):
            raise ValueError(f"verdict={self._rule} does not go with mode={self.mode}")
        if self.logprobs and self._rule != "names":
            raise ValueError("logprobs=true weighs two letters: it goes with style=alpaca-eval")
        if not 0.5 < self.slight <= 1:
            raise ValueError(f"slight must be above 0.5 and at most 1, got {self.slight:g}")
        for name in _ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, got {value:g}")
        require_plain_address(
            self.url,
            example="http://localhost:8000/v1",
            kept_with="the verdicts",
            variable="TGDPO_JUDGE_KEY",
        )
        self._unjudged: Counter[str] = Counter()
        self._asker: Asker | None = None
        self._done: dict[str, Any] = {}

    @property
    def reads(self) -> Literal["answers", "comparisons"]:  # type: ignore[override]
        """Answers, or comparisons of two."""
        return "answers" if self.mode == "single" else "comparisons"

    @property
    def _rule(self) -> Rule:
        return self.verdict or _RULES[self.style, self.mode]

    @property
    def _address(self) -> str:
        parts = urlsplit(self.url)
        path = parts.path.rstrip("/")
        if not path.endswith("/chat/completions"):
            path = f"{path or '/v1'}/chat/completions"
        return urlunsplit(parts._replace(path=path))

    def validate(self) -> None:
        """Refuse missing packages, and a template that cannot be filled."""
        missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise ValueError(f"{', '.join(missing)} not installed: pip install 'tgdpo[remote]'")
        self._read_template().messages(templates.example(self.mode))

    def _read_template(self) -> templates.PromptTemplate:
        if self.template:
            return templates.from_file(self.template)
        return templates.shipped(self.style, self.mode)

    async def setup(self) -> None:
        """Open the connections and the file of replies."""
        from tgdpo_core import KeptReplies
        from tgdpo_core.http_calls import Manners, Transport
        from tgdpo_plugins.judges.llm.asking import Asker

        self._template = self._read_template()
        manners = Manners(self.concurrency, self.requests_per_minute, self.timeout, self.patience)
        identity = {"version": self.version} if self.version else {"url": self._address}
        self._asker = Asker(
            Transport(self._address, self.api_key, manners),
            KeptReplies(self.replies),
            identity,
            concurrency=self.concurrency,
            label=f"judge {self.model}",
        )

    async def score(self, batch: Sequence[Generation]) -> list[float | Unjudged]:
        """Return a grade from 1 to 10 each, or why there is none."""
        return await self._verdicts([self._grading(item) for item in batch])

    async def compare(self, batch: Sequence[Comparison]) -> list[float | Unjudged]:
        """Return of each comparison how surely the first is better, or why that is not known."""
        return await self._verdicts([self._comparing(item) for item in batch])

    def _grading(self, item: Generation) -> "dict[str, Any] | Unjudged":
        """Return the request about an answer."""
        if self.empty == "unjudged" and not item.response.strip():
            return EMPTY
        shown = conversation_of(item, self.reference_column)
        return shown if isinstance(shown, Unjudged) else self._body(templates.single_values(shown))

    def _comparing(self, item: Comparison) -> "dict[str, Any] | Unjudged":
        """Return the request about two answers."""
        both = (item.first, item.second)
        if self.empty == "unjudged" and not all(each.response.strip() for each in both):
            return EMPTY
        first, second = (conversation_of(each, self.reference_column) for each in both)
        if isinstance(first, Unjudged):
            return first
        if isinstance(second, Unjudged):
            return second
        return self._body(templates.pairwise_values(first, second))

    def _body(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON that is sent."""
        return {
            "model": self.model,
            "messages": self._template.messages(values),
            "temperature": self.temperature,
            **({} if self.seed is None else {"seed": self.seed}),
            self.length_field: self.max_tokens or _MAX_TOKENS[self._rule],
            **({"logprobs": True, "top_logprobs": 5} if self.logprobs else {}),
            **self.body,
        }

    async def _verdicts(
        self, requests: "Sequence[dict[str, Any] | Unjudged]"
    ) -> list[float | Unjudged]:
        """Return the verdict on each request; one that is unjudged already is not asked about."""
        assert self._asker is not None, "not set up"
        bodies = [request for request in requests if not isinstance(request, Unjudged)]
        replies = iter(await self._asker.replies(bodies))
        found = [
            request if isinstance(request, Unjudged) else self._verdict(next(replies))
            for request in requests
        ]
        self._unjudged.update(each.reason for each in found if isinstance(each, Unjudged))
        return found

    def _verdict(self, answer: Mapping[str, Any]) -> float | Unjudged:
        from tgdpo_plugins.judges.llm.asking import unjudged_of

        reason = unjudged_of(answer)
        if reason is not None:
            return Unjudged(reason)
        reply = reply_of(answer)
        found = verdict_of(reply, self._rule, slight=self.slight, needs_logprobs=self.logprobs)
        if isinstance(found, Unjudged):
            return Unjudged(found.reason, reply.text)
        return found if self._rule == "names" else Explained(found, reply.text)

    def record(self) -> Mapping[str, Any]:
        """Return calls, tokens, cost, models that answered, and what was unjudged."""
        if self._asker is None:
            return self._done
        tally = self._asker.tally
        return {
            "model": self.model,
            "served_models": sorted(tally.served),
            "calls": tally.asked,
            "reused": tally.reused,
            "input_tokens": tally.input_tokens,
            "output_tokens": tally.output_tokens,
            "calls_without_token_counts": tally.uncounted,
            "cost": self._cost(),
            "unjudged": dict(self._unjudged.most_common()),
        }

    def _cost(self) -> str:
        """Return what the calls of this command cost, in words."""
        assert self._asker is not None
        tally = self._asker.tally
        if self.price_per_1k_input is None or self.price_per_1k_output is None:
            return "unknown: set price_per_1k_input and price_per_1k_output"
        spent = (
            self.price_per_1k_input * tally.input_tokens
            + self.price_per_1k_output * tally.output_tokens
        ) / 1000
        rest = f" and {tally.uncounted} calls whose tokens are unknown" if tally.uncounted else ""
        return f"{spent:.4g} {self.currency}{rest}"

    async def teardown(self) -> None:
        """Keep what is under way, close the connections, and say what was asked."""
        if self._asker is None:
            return
        await self._asker.close()
        self._done, self._asker = dict(self.record()), None
        logger.info(
            "Judge %s: %d calls, %d replies kept from before, cost %s.",
            self.model,
            self._done["calls"],
            self._done["reused"],
            self._done["cost"],
        )

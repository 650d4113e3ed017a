"""The token reward ``remote``."""

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from tgdpo_core import Cost, Example, ScoringContext, TokenReward, option
from tgdpo_core.server_address import require_plain_address
from tgdpo_plugins.token_rewards.remote.protocols import Asking, Protocol, Unit

if TYPE_CHECKING:
    from tgdpo_plugins.token_rewards.dense_prm.steps import Steps

_PACKAGES = ("aiolimiter", "httpx2", "tenacity")
_PLACES = {"pooling": "/pooling", "score": "/score", "json": "/"}


class Remote(TokenReward):
    """Scores of a reward server on the policy's tokens, asked over HTTP with many calls at once.

    Protocols: ``json`` (docs/remote-rewards.md; a server is 30 lines), ``pooling`` and ``score``
    (those of vLLM). Every answer is stored as it comes and never asked for again. A call that
    fails is repeated; a key that is refused ends the command at the first call.
    """

    url: str = option(help="address of the server", stored=False)
    protocol: Protocol = option("json", help="what is sent and what comes back")
    unit: Unit = option("step", help="what gets a value of its own: step, response or token")
    model: str = option(
        "", help="name of the served model; without it the address names the values"
    )
    version: str = option("", help="of the served model; change it when its values change")
    step_separator: str = option(
        "\n", help="ends a step (unit=step); in a shell: $'step_separator=\\n\\n'"
    )
    placement: Literal["broadcast", "spread", "last"] = option(
        "broadcast", help="how the value of a step or response goes to its tokens"
    )
    step_tag: str = option(
        "<extra_0>", help="behind every step, for the server to pool at (pooling)"
    )
    label: int = option(-1, help="which number of a row is the value (pooling)")
    chat: bool = option(True, help="send text prompts as messages (pooling)")
    system: str | None = option(None, help="system message in front of them (pooling)")

    api_key: str | None = option(
        None, secret=True, env="TGDPO_REMOTE_KEY", help="key of the server, if it wants one"
    )
    concurrency: int = option(64, help="calls under way at once", stored=False)
    requests_per_minute: float | None = option(None, help="most calls in a minute", stored=False)
    timeout: float = option(120.0, help="seconds for one answer", stored=False)
    patience: float = option(
        300.0, help="seconds for which a failing call is repeated", stored=False
    )
    price_per_call: float = option(0.0, help="money for a call", stored=False)
    price_per_1k_tokens: float = option(
        0.0, help="money for a thousand tokens of prompt and response", stored=False
    )
    currency: str = option("USD", help="of the prices", stored=False)

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if self.protocol == "score" and self.unit == "token":
            raise ValueError("protocol=score has no values of tokens: unit=step or response")
        if not self.step_separator or "\\n" in self.step_separator:
            raise ValueError(
                f"step_separator={self.step_separator!r} ends no step: a line break is one "
                "character; in a shell write $'step_separator=\\n\\n'"
            )
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {self.concurrency}")
        for name in ("timeout", "patience", "requests_per_minute"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, got {value:g}")
        require_plain_address(
            self.url,
            example="http://localhost:8000",
            kept_with="the run",
            variable="TGDPO_REMOTE_KEY",
        )

    def validate(self) -> None:
        """Refuse where the packages for it are not installed."""
        missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise ValueError(f"{', '.join(missing)} not installed: pip install 'tgdpo[remote]'")

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the address, where no model is named."""
        return {} if self.model or self.version else {"url": self._address}

    def cost(self) -> Cost | str:
        """Return what the prices say."""
        return Cost(self.price_per_call, self.price_per_1k_tokens, self.currency)

    @property
    def _address(self) -> str:
        """Where requests are posted: the protocol's place, unless the address names one."""
        parts = urlsplit(self.url)
        if parts.path in ("", "/"):
            parts = parts._replace(path=_PLACES[self.protocol])
        return urlunsplit(parts)

    async def setup(self, context: ScoringContext) -> None:
        """Make the connections."""
        from tgdpo_core.http_calls import Manners, Transport

        self._asking = Asking(
            protocol=self.protocol,
            unit=self.unit,
            model=self.model,
            separator=self.step_separator,
            step_tag=self.step_tag,
            label=self.label,
            chat=self.chat,
            system=self.system,
        )
        manners = Manners(self.concurrency, self.requests_per_minute, self.timeout, self.patience)
        self._transport = Transport(self._address, self.api_key, manners)

    async def score_one(self, example: Example) -> Any:
        """Return the values of a response; one without steps is 0 and is not asked about."""
        steps = self._steps(example)
        if not steps.texts and self.unit != "token":
            return [0.0] * len(example.response_ids)
        answer = await self._transport.post(self._asking.body(example, steps))
        values = self._asking.values(answer, example, steps)
        if self.unit == "token":
            return values
        return self._placed(values, example, steps)

    async def teardown(self) -> None:
        """Close the connections."""
        transport = vars(self).pop("_transport", None)
        if transport:
            await transport.close()

    def _steps(self, example: Example) -> "Steps":
        from tgdpo_plugins.token_rewards.dense_prm.steps import Steps, steps_of

        if self.unit == "step":
            return steps_of(example, self.step_separator)
        raw = example.raw_response
        text = raw if isinstance(raw, str) else str(raw[-1]["content"])
        return Steps([text], [len(example.response)])

    def _placed(self, values: Any, example: Example, steps: "Steps") -> Any:
        import numpy as np

        from tgdpo_plugins.token_rewards.dense_prm.expression import place_steps

        return place_steps(
            np.asarray(values), steps.ends, example.offsets, self.placement, neutral=0.0
        )

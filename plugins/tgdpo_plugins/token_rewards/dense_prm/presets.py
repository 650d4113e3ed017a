"""The dense reward models in the wild, as data: what they are asked, where they are read, and how.

Sources: the model cards and inference code of the models that each preset names.
"""

from dataclasses import dataclass
from typing import Literal

Layout = Literal["piecewise", "tagged-chat", "tagged-text", "turns", "tokens"]
Head = Literal["labels", "two-layer-labels", "value-head", "pair", "sequence"]
Output = Literal["prob", "signed", "logit", "value"]
Placement = Literal["broadcast", "last", "spread", "delta"]


@dataclass(frozen=True)
class Preset:
    """One format.

    Attributes:
        head: where the number comes from. ``labels``: logits of a token-classification model;
            ``two-layer-labels``: the same with a hidden layer in the head; ``value-head``: a
            linear layer ``v_head.summary`` on a causal language model; ``pair``: the logits of two
            tokens; ``sequence``: the score of a sequence-classification model, at every token.
        layout: how prompt and steps become tokens (see ``layouts``).
        step_separator: ends a step of the response.
        step_prefix: text in front of step ``{number}``, unless it begins with ``Step`` itself.
        tag: text that marks the end of a step for the model.
        gap: text between a tag and the next step.
        prompt_end: text behind the prompt.
        whole_tag: whether all tokens of the tag are written, or only its last.
        system: system message of a chat, if the prompt brings none.
        good: token of a good step (``pair``).
        bad: token of a bad step (``pair``).
        placement: how values go to tokens unless the user says.
    """

    head: Head
    layout: Layout
    step_separator: str = "\n"
    step_prefix: str = ""
    tag: str = "\n"
    gap: str = ""
    prompt_end: str = ""
    whole_tag: bool = True
    system: str | None = None
    good: str = "+"
    bad: str = "-"
    placement: Placement = "broadcast"


PRESETS: dict[str, Preset] = {
    # TRL's PRMTrainer: AutoModelForTokenClassification; no separator before the first step.
    "token-classification": Preset(head="labels", layout="piecewise"),
    # Qwen2.5-Math-PRM-7B and -72B, Qwen2.5-Math-7B-PRM800K.
    "qwen-prm": Preset(
        head="two-layer-labels",
        layout="tagged-chat",
        step_separator="\n\n",
        tag="<extra_0>",
        system="Please reason step by step, and put your final answer within \\boxed{}.",
    ),
    # Skywork-o1-Open-PRM-Qwen-2.5.
    "skywork": Preset(head="value-head", layout="piecewise", prompt_end="\n", whole_tag=False),
    # RLHFlow Llama3.1-8B-PRM-Mistral-Data and -Deepseek-Data.
    "rlhflow": Preset(head="pair", layout="turns", step_separator="\n\n"),
    # peiyi9979/math-shepherd-mistral-7b-prm.
    "math-shepherd": Preset(
        head="pair", layout="tagged-text", step_prefix="Step {number}: ", tag=" ки", gap="\n"
    ),
    # openreasoner/Math-psa; its labels are the tokens with the space in front.
    "openr": Preset(
        head="pair", layout="tagged-text", tag=" \n\n\n\n\n", gap=" ", good=" +", bad=" -"
    ),
    # Any reward model for whole responses, read at every token: its score so far.
    "sequence-reward": Preset(head="sequence", layout="tokens", placement="delta"),
    # A token-classification model that judges every token.
    "token-head": Preset(head="labels", layout="tokens"),
}

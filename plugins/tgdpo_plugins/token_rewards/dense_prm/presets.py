"""The dense reward models in the wild, as data: what they are asked, where they are read, and how.

Sources: the model cards and inference code of the models that each preset names.
"""

from dataclasses import dataclass
from typing import Literal

Layout = Literal["piecewise", "tagged-chat", "tagged-text", "turns", "tokens"]
Head = Literal["labels", "remote-labels", "value-head", "pair", "sequence"]


@dataclass(frozen=True)
class Preset:
    """One format.

    Attributes:
        head: where the number comes from. ``labels``: logits of a token-classification model;
            ``remote-labels``: the same of a model with code of its own; ``value-head``: a linear
            layer ``v_head.summary`` on a causal language model; ``pair``: the logits of two tokens;
            ``sequence``: the score of a sequence-classification model, at every token.
        layout: how prompt and steps become tokens (see ``layouts``).
        step_separator: ends a step of the response.
        tag: text that marks the end of a step for the model.
        prompt_end: text behind the prompt.
        whole_tag: whether all tokens of the tag are written, or only its last.
        system: system message of a chat, if the prompt brings none.
        good: token of a good step (``pair``).
        bad: token of a bad step (``pair``).
    """

    head: Head
    layout: Layout
    step_separator: str = "\n"
    tag: str = "\n"
    prompt_end: str = ""
    whole_tag: bool = True
    system: str | None = None
    good: str = "+"
    bad: str = "-"


PRESETS: dict[str, Preset] = {
    # TRL's PRMTrainer: AutoModelForTokenClassification; no separator before the first step.
    "token-classification": Preset(head="labels", layout="piecewise"),
    # Qwen2.5-Math-PRM-7B and -72B.
    "qwen-prm": Preset(
        head="remote-labels",
        layout="tagged-chat",
        step_separator="\n\n",
        tag="<extra_0>",
        system="Please reason step by step, and put your final answer within \\boxed{}.",
    ),
    # Skywork-o1-Open-PRM-Qwen-2.5.
    "skywork": Preset(
        head="value-head", layout="piecewise", tag="\n", prompt_end="\n", whole_tag=False
    ),
    # RLHFlow Llama3.1-8B-PRM-Mistral-Data and -Deepseek-Data.
    "rlhflow": Preset(head="pair", layout="turns", step_separator="\n\n"),
    # peiyi9979/math-shepherd-mistral-7b-prm.
    "math-shepherd": Preset(head="pair", layout="tagged-text", tag=" ки\n"),
    # openreasoner/Math-psa.
    "openr": Preset(head="pair", layout="tagged-text", tag=" \n\n\n\n\n"),
    # Any reward model for whole responses, read at every token.
    "sequence-reward": Preset(head="sequence", layout="tokens"),
    # A token-classification model that judges every token.
    "token-head": Preset(head="labels", layout="tokens"),
}

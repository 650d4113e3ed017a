"""The built-in plugins are held to what third parties are held to."""

from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.plugin_api.registered import Registered
from tgdpo_core.testing.checking import CONTRACT_OF_KIND, outcomes

BUILT_IN = PluginManager(env={"TGDPO_LOAD_PLUGINS": ""})

# Options without a default.
OPTIONS = {
    "clip": {"max": 1.0},
    "scale": {"factor": 2.0},
    "lexicon": {"path": str(Path(__file__).parent / "words.tsv")},
    "rules": {
        "rules": [
            {"id": "punctuation:no_comma"},
            {"id": "length_constraints:number_words", "num_words": 20, "relation": "less than"},
        ]
    },
}
# What reads data or a tokenizer of one sort.
OF_THE_PLAYGROUND = ("playground-oracle", "verifier")
COLUMN_ROWS = [
    {
        "prompt": "Two plus two? ",
        "chosen": "It is 4.",
        "rejected": "five",
        "chosen_token_rewards": [[6, 7, 1.0]],
        "rejected_token_rewards": [[0, 4, -1.0]],
    }
]


def needs_a_model(item: Registered) -> bool:
    return any(
        f.name == "model" and f.metadata
        for f in getattr(item.factory, "__dataclass_fields__", {}).values()
    )


def failures(item: Registered, options: dict[str, Any], **attributes: Any) -> dict[str, str]:
    contract = CONTRACT_OF_KIND[item.kind]()
    contract.plugin, contract.module = item.create(options), item.module
    for name, value in attributes.items():
        setattr(contract, name, value)
    return {o.check: o.failure for o in outcomes(contract) if o.failure is not None}


@pytest.mark.parametrize(
    "item", [i for i in BUILT_IN if not needs_a_model(i)], ids=lambda i: f"{i.kind}-{i.name}"
)
def test_a_built_in_plugin_keeps_its_contract(item: Registered) -> None:
    attributes: dict[str, Any] = {}
    if item.name == "column":
        attributes = {"rows": COLUMN_ROWS}
    if item.name in OF_THE_PLAYGROUND:
        from transformers import AutoTokenizer

        playground = BUILT_IN.find("dataset", "playground").factory
        attributes = {
            "rows": list(playground().rows("test"))[:4],
            "tokenizer": AutoTokenizer.from_pretrained(playground.model),
        }
    assert failures(item, OPTIONS.get(item.name, {}), **attributes) == {}


def test_induced_keeps_its_contract(model_folder: Path, small_tokenizer: Any) -> None:
    item = BUILT_IN.find("token-reward", "induced")
    assert failures(item, {"model": str(model_folder)}, tokenizer=small_tokenizer) == {}

"""The oracle, the judge and the data set, as a user of the plugin API meets them."""

import subprocess
import sys
from typing import Any

import pytest
from transformers import AutoTokenizer

from tgdpo_core import Example, Generation
from tgdpo_plugins.playground.dataset import WORLDS, Playground
from tgdpo_plugins.playground.oracle import PlaygroundOracle
from tgdpo_plugins.playground.verifier import Verifier


def example(prompt: Any, pieces: list[str]) -> Example:
    """Return an example whose tokens are the pieces."""
    ends = [sum(map(len, pieces[: i + 1])) for i in range(len(pieces))]
    return Example(
        uid="u",
        side="chosen",
        prompt=prompt,
        response="".join(pieces),
        prompt_ids=[],
        response_ids=list(range(len(pieces))),
        offsets=[(end - len(piece), end) for end, piece in zip(ends, pieces, strict=True)],
    )


# 3+4=7 is answered by 8 (wrong); 8*2=16 is then right.
ONE_ERROR = example("3+4*2=", [" so ", "+", "4", "8", " now ", " well ", "*", "2", "6", ""])
# The second operator is copied wrongly, which ends the judging.
BROKEN = example("3+4*2=", [" so ", "+", "4", "7", " now ", "-", "2", "5", ""])


def test_the_oracle_rewards_every_token_by_its_label() -> None:
    one_error, broken = PlaygroundOracle().score([ONE_ERROR, BROKEN])
    assert one_error == [0, 1, 1, -1, 0, 0, 1, 1, 1, 1]
    assert broken == [0, 1, 1, 1, 0, -1, 0, 0, 0]


def test_the_oracle_uses_its_options() -> None:
    oracle = PlaygroundOracle(correct=0.25, error=-2.0)
    assert oracle.score([ONE_ERROR]) == [[0, 0.25, 0.25, -2, 0, 0, 0.25, 0.25, 0.25, 0.25]]


def test_the_oracle_scores_a_truncated_answer() -> None:
    assert PlaygroundOracle().score([example("3+4*2=", [" so ", "+", "4"])]) == [[0, 1, 1]]


def test_a_special_token_in_an_answer_is_an_error() -> None:
    """Rows of the shipped worlds have some: the base model sampled them."""
    pieces = [" so ", "<s>", "+", "4", "7", ""]
    assert PlaygroundOracle().score([example("3+4=", pieces)]) == [[0, -1, 0, 0, 0, 0]]


@pytest.mark.parametrize("world", WORLDS)
def test_the_oracle_scores_every_row_of_every_world(world: type[Playground]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(world.model)
    for row in (*world().rows("train"), *world().rows("test")):
        pieces = [
            [*tokenizer.convert_ids_to_tokens(tokenizer(row[side])["input_ids"][1:]), ""]
            for side in ("chosen", "rejected")
        ]
        chosen, rejected = PlaygroundOracle().score([example(row["prompt"], p) for p in pieces])
        assert (min(chosen) == -1) == (row["chosen_errors"] > 0)
        assert min(rejected) == -1


def test_the_oracle_refuses_another_data_set() -> None:
    with pytest.raises(ValueError, match=r"data set 'playground' only.*'What is 3\+4\?'.*Allowed"):
        PlaygroundOracle().score([example("What is 3+4?", ["7", ""])])


def test_the_oracle_refuses_messages() -> None:
    with pytest.raises(ValueError, match="Not a playground prompt"):
        PlaygroundOracle().score([example([{"role": "user", "content": "3+4="}], ["7", ""])])


def test_the_oracle_refuses_tokens_of_another_tokenizer() -> None:
    with pytest.raises(ValueError, match=r"Response token 1 is '\+4'.*Allowed"):
        PlaygroundOracle().score([example("3+4=", [" so ", "+4", "7", ""])])


def test_the_verifier_gives_one_to_exact_answers_only() -> None:
    responses = [" so +47 now *24", " so +48 now *26", " so +47", "", "the answer is 4"]
    batch = [Generation(prompt="3+4*2=", response=response) for response in responses]
    assert Verifier().score(batch) == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_the_verifier_finds_every_local_error() -> None:
    responses = [" so +47 now *24", " so +48 now *26", " so +47 now -2", " so +47"]
    batch = [Generation(prompt="3+4*2=", response=response) for response in responses]
    # A right answer; a wrong digit (8*2=16 is then right); a wrong copy; an early end.
    assert Verifier().error_spans(batch) == [[], [(6, 7)], [(12, 13)], [(7, 7)]]


def test_an_unknown_split_is_refused_with_the_list() -> None:
    with pytest.raises(ValueError, match=r"no split 'dev'.*train, test"):
        Playground().rows("dev")


def test_importing_the_playground_loads_no_heavy_library() -> None:
    heavy = {"torch", "transformers", "tokenizers", "numpy"}
    code = f"import sys, tgdpo_plugins.playground; print(sorted({heavy!r} & set(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"

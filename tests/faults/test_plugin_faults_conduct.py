"""P7-P10, P14, P15: a plugin that hangs, is not repeatable, meddles, or runs out of memory."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.errors import PluginError, UsageError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.scoring.source_document import source_document
from tgdpo_core.scoring.sources import find_source
from tgdpo_core.store.folder import canonical_hash

Faulty = Callable[[str], str]
Command = Callable[..., tuple[int, str]]

# -- P7 -------------------------------------------------------------------------------------------


def test_P7_a_plugin_that_hangs_is_named_with_the_line_where_it_waits(
    faulty: Faulty,
    score: Command,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TGDPO_PLUGIN_PATIENCE", "0.2")
    distribution = faulty(
        "import time; time.sleep(1); return [[0.0] * len(e.response_ids) for e in batch]"
    )
    code, error = score()
    assert code == 0, error
    named = rf"'faulty' \\({distribution}\\) has been busy with \\S*pairs\\.jsonl:\\d.* for \\d+ s"
    named = named.replace("\\\\", "\\")
    assert re.search(named, caplog.text), caplog.text
    assert re.search(r"\(at .*tgdpo_faulty_\d+\.py:\d+\)", caplog.text)


@pytest.mark.parametrize(
    "part", ["score(self, batch)", "setup(self, context)", "fingerprint(self)"]
)
def test_P7_a_limit_ends_a_plugin_that_hangs(
    faulty: Faulty, score: Command, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setenv("TGDPO_PLUGIN_PATIENCE", "0.2")
    monkeypatch.setenv("TGDPO_PLUGIN_TIMEOUT", "2")
    distribution = faulty(f"def {part}:\n    import time\n    time.sleep(60)")
    code, error = score()
    assert code == 4, error
    assert f"'faulty' ({distribution}) was busy with " in error
    assert "was stopped (TGDPO_PLUGIN_TIMEOUT)" in error


@pytest.mark.usefixtures("in_the_foreground")
def test_P7_ctrl_c_is_still_ctrl_c(faulty: Faulty, score: Command) -> None:
    faulty("import signal; signal.raise_signal(signal.SIGINT)")
    code, error = score()
    assert (code, "Stopped by SIGINT" in error) == (75, True), error


def test_P7_a_limit_holds_where_the_plugin_catches_the_interrupt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stubborn() -> None:
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(60)

    monkeypatch.setenv("TGDPO_PLUGIN_TIMEOUT", "0.2")
    with pytest.raises(PluginError, match=r"w was busy with row for more than 0\.2 s"):
        call_plugin("w", "row", stubborn)


@pytest.mark.parametrize("variable", ["TGDPO_PLUGIN_PATIENCE", "TGDPO_PLUGIN_TIMEOUT"])
@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan"])
def test_P7_seconds_that_are_none_are_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=f"{variable}='{value}': expected a number of seconds"):
        call_plugin("w", "row", lambda: None)


# -- P8 -------------------------------------------------------------------------------------------


def test_P8_a_reward_that_changes_from_call_to_call_is_refused(
    faulty: Faulty, score: Command
) -> None:
    distribution = faulty(
        """
        import os
        noise = lambda: int.from_bytes(os.urandom(4), "big") / 2**32
        return [[noise() for _ in e.response_ids] for e in batch]
        """
    )
    code, error = score()
    assert code == 4, error
    assert f"'faulty' ({distribution}), " in error
    assert re.search(r"pairs\.jsonl:\d: asked twice, it gave", error), error
    assert "seed noise with example.uid" in error


# -- P9, P10 --------------------------------------------------------------------------------------

BUILT_IN = ("none", "random", "column", "confidence", "playground-oracle")
_KEYS = """
import json, sys
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.store.folder import canonical_hash
from tgdpo_core.scoring.source_document import source_document
from tgdpo_core.scoring.sources import find_source
found = [find_source(PluginManager(), name) for name in sys.argv[1:]]
print(json.dumps({source.name: canonical_hash(source_document(source)) for source in found}))
"""


def test_P9_keys_are_the_same_in_every_process() -> None:
    found = []
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", _KEYS, *BUILT_IN]
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]
    assert len(set(found[0].values())) == len(BUILT_IN)


@pytest.mark.parametrize("value", ["object()", "{1, 2}", "float('nan')"])
def test_P9_a_fingerprint_that_is_no_json_is_refused(
    faulty: Faulty, score: Command, value: str
) -> None:
    distribution = faulty(
        f"""
        def fingerprint(self):
            return {{"model": {value}}}

        def score(self, batch):
            return [[0.0] * len(e.response_ids) for e in batch]
        """
    )
    code, error = score()
    assert code == 4, error
    assert f"'faulty' ({distribution}) failed on its fingerprint" in error


def test_P10_one_changed_weight_is_another_key(model_folder: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    def key(model: Path) -> str:
        arguments = {"model": str(model)}
        source = find_source(PluginManager(), "induced", arguments)
        return canonical_hash(source_document(source))

    changed, moved = tmp_path / "changed", tmp_path / "moved"
    for folder in (changed, moved):
        shutil.copytree(model_folder, folder)
    tensors = load_file(changed / "model.safetensors")
    name = sorted(tensors)[0]
    tensors[name].view(-1)[0] += 1e-3
    save_file(tensors, changed / "model.safetensors", metadata={"format": "pt"})
    assert key(moved) == key(model_folder)
    assert key(changed) != key(model_folder)


# -- P14 ------------------------------------------------------------------------------------------

DRAWS = {
    "random": "import random; x = random.random()",
    "numpy": "import numpy; x = numpy.random.rand()",
    "torch": "import torch; x = torch.rand(1).item()",
    "a seed": "import torch; torch.manual_seed(123456); x = 0.0",
}


@pytest.mark.parametrize("kind", DRAWS)
def test_P14_a_reward_that_draws_from_a_global_random_state_is_refused(
    faulty: Faulty, score: Command, kind: str
) -> None:
    distribution = faulty(f"{DRAWS[kind]}\nreturn [[x] * len(e.response_ids) for e in batch]")
    code, error = score()
    assert code == 4, error
    assert f"'faulty' ({distribution}), " in error
    state = "torch" if kind == "a seed" else kind
    assert f"global random state of {state}" in error
    assert re.search(r"pairs\.jsonl:\d", error), error


def test_P14_a_reward_that_draws_on_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    state = torch.zeros(4)  # stands for the generator of a GPU
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [state.clone()])
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", lambda states: state.copy_(states[0]))
    with pytest.raises(PluginError, match=r"w, row: .* global random state of torch\.cuda"):
        call_plugin("w", "row", lambda: state.add_(1), draws=False)
    assert state.tolist() == [0, 0, 0, 0]


def test_P14_random_states_are_what_they_were_after_setup() -> None:
    import random

    import numpy as np
    import torch

    def states() -> list[Any]:
        return [random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()]

    def setup() -> None:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    before = states()
    call_plugin("w", "setup", setup)
    assert states() == before


@pytest.mark.parametrize(
    "meddling",
    [
        "e.response_ids[0] = 7",
        "e.prompt_ids.append(7)",
        "e.offsets.clear()",
        "e.response = 'x'",
    ],
)
def test_P14_ids_and_text_cannot_be_changed(faulty: Faulty, score: Command, meddling: str) -> None:
    distribution = faulty(
        f"""
        for e in batch:
            {meddling}
        return [[0.0] * len(e.response_ids) for e in batch]
        """
    )
    code, error = score()
    assert code == 4, error
    assert f"'faulty' ({distribution}) failed on " in error


def test_P14_what_can_be_changed_is_a_copy(
    install: Callable[..., str], tgdpo: Command, tmp_path: Path, model_folder: Path
) -> None:
    install(
        """
        from tgdpo_core import TokenReward, hookimpl

        class Meddler(TokenReward):
            "Rewrites what it is given."
            needs = ("reference_logps", "column:note")
            def score(self, batch):
                for e in batch:
                    e.prompt[0]["content"] = "changed"
                    e.columns["note"].append("changed")
                    e.shared["reference_logps"].zero_()
                return [[0.0] * len(e.response_ids) for e in batch]

        class Witness(TokenReward):
            "Refuses what was changed."
            needs = ("reference_logps", "column:note")
            def score(self, batch):
                for e in batch:
                    assert e.prompt[0]["content"] == "Is it?"
                    assert e.columns["note"] == ["as it was"]
                    assert e.shared["reference_logps"].abs().min() > 0
                return [[0.0] * len(e.response_ids) for e in batch]

        @hookimpl
        def register_token_rewards(register):
            register("meddler", Meddler)
            register("witness", Witness)
        """
    )
    row = {
        "prompt": [{"role": "user", "content": "Is it?"}],
        "chosen": [{"role": "assistant", "content": "It is."}],
        "rejected": [{"role": "assistant", "content": "No."}],
        "note": ["as it was"],
    }
    data = tmp_path / "chat.jsonl"
    data.write_text(json.dumps(row) + "\n")
    common = ("--model", str(model_folder), "--dataset", str(data))
    done = tgdpo("score", *common, "--reward-plugin", "meddler", "--reward-plugin", "witness")
    assert done[0] == 0, done[1]


IN_PLACE = """
from tgdpo_core import Shaping, Transform, hookimpl
import random

class InPlace(Shaping):
    "Changes the rewards that it was given."
    def f_w(self, rewards):
        return rewards.mul_(0).add_(1)
    f_l = f_w

class Drawing(Transform):
    "Adds noise of the global generator."
    def __call__(self, rewards, example, state):
        return rewards + random.random()

@hookimpl
def register_shapings(register):
    register("in-place", InPlace)

@hookimpl
def register_transforms(register):
    register("drawing", Drawing)
"""


def test_P14_a_shaping_that_works_in_place_changes_no_reward(
    install: Callable[..., str], train: Command, tmp_path: Path
) -> None:
    install(IN_PLACE)
    logged = ("--set", "training.logging_steps=1")
    code, error = train("--reward-plugin", "random", "--shaping", "in-place", *logged)
    assert code == 0, error
    lines = (tmp_path / "run" / "logs" / "train.jsonl").read_text().splitlines()
    rewards = [json.loads(x).get("token_reward/std") for x in lines]
    assert min(r for r in rewards if r is not None) > 0.5


def test_P14_a_transform_that_draws_is_refused_before_training(
    install: Callable[..., str], train: Command
) -> None:
    distribution = install(IN_PLACE)
    code, error = train("--reward-plugin", "random", "--reward-transform", "drawing")
    assert code == 4, error
    assert re.search(rf"transform 'drawing' \({distribution}\) of .*: the plugin drew", error), (
        error
    )


# -- P15 ------------------------------------------------------------------------------------------


def test_P15_out_of_memory_is_answered_with_fewer_rows(faulty: Faulty, score: Command) -> None:
    faulty(
        """
        import torch
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [[0.0] * len(e.response_ids) for e in batch]
        """
    )
    code, error = score()
    assert code == 0, error


def test_P15_out_of_memory_on_one_pair_is_named(faulty: Faulty, score: Command) -> None:
    distribution = faulty("import torch; raise torch.OutOfMemoryError('CUDA out of memory')")
    code, error = score()
    assert code == 4, error
    assert re.search(
        rf"'faulty' \({re.escape(distribution)}\) ran out of memory on \S*pairs\.jsonl:\d\. Lower",
        error,
    ), error

"""What the shell completes: through click's protocol, and in live shells where they are here."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from tgdpo_cli.main import cli

Complete = Callable[..., list[str]]


@pytest.fixture
def complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Complete:
    """A function that returns what may follow some words, in a folder with two runs."""
    monkeypatch.setenv("TGDPO_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    for name in ("dpo", "tgdpo"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text("{}")
    (tmp_path / "runs" / "notes").mkdir()

    def call(*words: str) -> list[str]:
        *args, incomplete = words
        shell = BashComplete(cli, {}, "tgdpo", "_TGDPO_COMPLETE")
        return [item.value for item in shell.get_completions(args, incomplete)]

    return call


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("train --reward-plugin ", "playground-oracle"),
        ("train --reward-plugin=indu", "induced"),
        ("train --reward-plugin random --reward-arg s", "seed="),
        ("train --reward-transform cl", "clip"),
        ("train --shaping lin", "linear"),
        ("train --shaping linear --shaping-arg al", "alpha="),
        ("train --dataset play", "playground"),
        ("train --model play", "playground"),
        ("train --config reco", "recommended"),
        ("train --set loss.na", "loss.name="),
        ("train --set training.learning_r", "training.learning_rate="),
        ("train --accelerate-config acc", "accelerate/fsdp2"),
        ("train --output-dir runs/t", "runs/tgdpo"),
        ("score --reward-plugin ind", "induced"),
        ("validate --config play", "playground"),
        ("ablate --config playground-rew", "playground-rewards"),
        ("ablate --control permute cla", "class-mean"),
        ("ablate --reward-plugin random ind", "induced"),
        ("inspect runs/d", "runs/dpo"),
        ("doctor runs/", "runs/tgdpo"),
        ("merge ", "runs/dpo"),
        ("evaluate runs/dpo runs/t", "runs/tgdpo"),
        ("evaluate x --judge like", "likelihood"),
        ("bench reward conf", "confidence"),
        ("plugins show perm", "permute"),
        ("plugins check lin", "linear"),
        ("recipes show slu", "slurm/train"),
        ("recipes copy pl", "playground"),
    ],
)
def test_names_are_completed(words: str, expected: str, complete: Complete) -> None:
    assert expected in complete(*words.split(" "))


def test_folders_that_are_no_runs_are_not_offered_as_runs(complete: Complete) -> None:
    assert "runs/notes" not in complete("inspect", "runs/")


def test_keys_of_several_rewards_are_offered_with_their_names(complete: Complete) -> None:
    words = ["--reward-plugin", "random", "--reward-plugin", "induced=0.5", "--reward-arg"]
    offered = complete("train", *words, "")
    assert {"random.seed=", "induced.model="} <= set(offered)


def test_a_plugin_file_is_offered_too(complete: Complete, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from tgdpo_core import TokenReward, hookimpl\n"
        "class Mine(TokenReward):\n    '''Mine.'''\n"
        "    def score(self, examples):\n        return []\n"
        "@hookimpl\ndef register_token_rewards(register):\n    register('mine-own', Mine)\n"
    )
    words = ("--plugin-file", str(plugin), "train", "--reward-plugin")
    assert complete(*words, "mi") == ["mine-own"]


def test_keys_of_the_store_are_completed(complete: Complete, tmp_path: Path) -> None:
    assert complete("store", "explain", "") == []


def test_completing_twice_loads_no_plugin_and_never_torch(tmp_path: Path) -> None:
    environment = {**os.environ, "TGDPO_STORE": str(tmp_path)}
    code = (
        "import sys, json\nfrom click.shell_completion import BashComplete\n"
        "from tgdpo_cli.main import cli\n"
        "shell = BashComplete(cli, {}, 'tgdpo', '_TGDPO_COMPLETE')\n"
        "found = shell.get_completions(['train', '--reward-plugin'], 'ind')\n"
        "names = [item.value for item in found]\n"
        "print(json.dumps([names, sorted(m.partition('.')[0] for m in sys.modules)]))"
    )
    for is_first in (True, False):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        names, modules = json.loads(done.stdout)
        assert names == ["induced"]
        assert "torch" not in modules
        assert ("tgdpo_plugins" in modules) == is_first


_LIVE = {
    "bash": "source <(_TGDPO_COMPLETE=bash_source tgdpo); COMP_WORDS=({words}); "
    'COMP_CWORD={last}; _tgdpo_completion tgdpo; printf "%s\\n" "${{COMPREPLY[@]}}"',
    "fish": '_TGDPO_COMPLETE=fish_source tgdpo | source; complete -C "{line}"',
    "zsh": 'autoload -U compinit; compinit -u; eval "$(_TGDPO_COMPLETE=zsh_source tgdpo)"; '
    "compadd() {{ }}; _describe() {{ print -l -- ${{(P)3}} ${{(P)5}} }}; "
    "words=({words}); CURRENT={number}; _tgdpo_completion",
}


@pytest.mark.parametrize("shell", list(_LIVE))
def test_a_live_shell_completes_a_plugin(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    command = tmp_path / "tgdpo"
    command.write_text(
        f'#!{sys.executable}\nfrom tgdpo_cli.main import main\nimport sys\nsys.argv[0] = "tgdpo"\n'
        "main()\n"
    )
    command.chmod(0o755)
    words = ["tgdpo", "train", "--reward-plugin", "indu"]
    script = _LIVE[shell].format(
        words=" ".join(words), last=len(words) - 1, number=len(words), line=" ".join(words)
    )
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TGDPO_STORE": str(tmp_path / "store"),
        "HOME": str(tmp_path),
    }
    flags = ["-f", "-c"] if shell == "zsh" else ["-c"]
    done = subprocess.run(
        [shell, *flags, script], env=environment, capture_output=True, text=True, timeout=60
    )
    assert "induced" in done.stdout, done.stderr

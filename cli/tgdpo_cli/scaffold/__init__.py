"""The start of a third party's package, written from templates that our tests install and run."""

import importlib.metadata
import importlib.resources
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from tgdpo_core.errors import UsageError


@dataclass(frozen=True)
class _Kind:
    """What differs between kinds, beside the templates of plugin and test.

    Attributes:
        word: in the names of distribution and class.
        usage: the command that uses the plugin.
    """

    word: str
    usage: str


_KINDS = {
    "token-reward": _Kind(
        "reward", "tgdpo train --config playground --reward-plugin $name --reward-arg penalty=0.5"
    ),
    "transform": _Kind(
        "transform",
        "tgdpo train --config playground --reward-plugin random --reward-transform $name:limit=2",
    ),
    "shaping": _Kind(
        "shaping",
        "tgdpo train --config playground --reward-plugin random --shaping $name "
        "--shaping-arg alpha=0.3",
    ),
    "loss": _Kind(
        "loss",
        "tgdpo train --config playground --set loss.name=$name --set loss.args.target=2",
    ),
    "judge": _Kind("judge", "tgdpo evaluate playground --dataset playground --judge $name"),
    "judge-of-pairs": _Kind(
        "judge", "tgdpo evaluate playground --dataset playground --judge $name"
    ),
    "judge-of-comparisons": _Kind(
        "judge", "tgdpo evaluate playground runs/mine --prompts playground --judge $name"
    ),
    "dataset": _Kind(
        "dataset", "tgdpo validate --dataset $name --model playground --output-dir runs/$name"
    ),
    "command": _Kind("command", "tgdpo $name --help"),
    "remote-reward": _Kind(
        "reward",
        "tgdpo train --config playground --reward-plugin $name --reward-arg "
        "url=http://127.0.0.1:8000    # python -m $module.server is a stand-in",
    ),
}
_MORE = {"command": ', "click>=8.2"', "remote-reward": ', "httpx2>=2"'}  # what they depend on
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def write_package(kind: str, name: str, parent: Path) -> Path:
    """Return the folder of a new package, ``PARENT/tgdpo-WORD-NAME``.

    Args:
        kind: ``token-reward``, ``transform``, ``shaping``, ``loss``, ``judge`` (of answers),
            ``judge-of-pairs``, ``judge-of-comparisons``, ``dataset``, ``command`` or
            ``remote-reward`` (a token reward that asks a server).
        name: what the plugin is registered under.
        parent: where the folder is made.

    Raises:
        UsageError: a name that cannot name a package, or a folder that exists.
    """
    texts = _names(kind, name)
    folder = parent / texts["distribution"]
    if folder.exists():
        raise UsageError(f"{folder} exists already; nothing was written. Choose another --output.")
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"src/{texts['module']}/__init__.py": f"{kind}/plugin.py",
        f"tests/test_{texts['module']}.py": f"{kind}/test_plugin.py",
    }
    if kind == "remote-reward":
        files[f"src/{texts['module']}/server.py"] = f"{kind}/server.py"
    templates = importlib.resources.files("tgdpo_cli") / "scaffold" / "templates"
    for path, template in files.items():
        text = (templates / f"{template}.template").read_text(encoding="utf-8")
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Template(text).substitute(texts), encoding="utf-8")
    return folder


def _names(kind: str, name: str) -> dict[str, str]:
    """Return what the templates are filled with."""
    import tgdpo_core

    word = _KINDS[kind].word
    class_name = "".join(part.capitalize() for part in (*name.split("-"), word))
    if not _NAME.fullmatch(name) or class_name in tgdpo_core.__all__:
        raise UsageError(
            f"'{name}' cannot name a new {kind}: use words of a-z and 0-9 joined by '-', beginning "
            "with a letter and not those of a base class, e.g. 'step-length'."
        )
    distribution = f"tgdpo-{word}-{name}"
    version = importlib.metadata.version("tgdpo")
    is_command = kind == "command"
    contract = "what it prints" if is_command else f"the contract of every {kind.replace('-', ' ')}"
    return {
        "kind": kind.replace("-", " "),
        "name": name,
        "class_name": class_name,
        "function": name.replace("-", "_"),
        "distribution": distribution,
        "module": distribution.replace("-", "_"),
        "tgdpo_version": version,
        "tgdpo_bound": _first_version_beyond(version),
        "env": f"{name.replace('-', '_').upper()}_API_KEY",
        "more": _MORE.get(kind, ""),
        "usage": Template(_KINDS[kind].usage).substitute(
            name=name, module=distribution.replace("-", "_")
        ),
        "show": "tgdpo plugins" if is_command else f"tgdpo plugins show {name}",
        "tests": contract if is_command else f"{contract}, and what this one computes",
        "check": ""
        if is_command
        else f"    tgdpo plugins check {name}    # the same contract, without pytest\n",
    }


def _first_version_beyond(version: str) -> str:
    """Return the first version whose plugin interface may differ: 0.2 of 0.1.3, 2 of 1.4."""
    major, minor, *_ = (int(part) for part in re.findall(r"\d+", version)[:2])
    return str(major + 1) if major else f"0.{minor + 1}"

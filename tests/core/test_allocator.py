"""The command line asks torch for memory segments that grow, unless the user has a say."""

import subprocess
import sys

import pytest

from tgdpo_core.allocator import allocator_settings, use_growing_segments
from tgdpo_core.training.record import environment

NAMES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")


def test_segments_grow_where_nothing_is_said() -> None:
    found = {"PATH": "/bin"}
    use_growing_segments(found)
    assert found == {"PATH": "/bin", "PYTORCH_ALLOC_CONF": "expandable_segments:True"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["max_split_size_mb:512", ""])
def test_what_the_user_says_in_any_variable_stays(name: str, value: str) -> None:
    found = {name: value}
    use_growing_segments(found)
    assert found == {name: value}


def test_run_json_says_what_the_allocator_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(NAMES[1], "max_split_size_mb:512")
    assert environment()["allocator"] == {NAMES[1]: "max_split_size_mb:512"}
    assert allocator_settings({"HOME": "/"}) == {}


def test_the_command_line_says_it_before_torch_is_imported() -> None:
    script = (
        "import os, sys\n"
        "for name in [n for n in os.environ if n.endswith('ALLOC_CONF')]: del os.environ[name]\n"
        "class Early:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch':\n"
        "            print(os.environ['PYTORCH_ALLOC_CONF'])\n"
        "            sys.stdout.flush(); os._exit(0)\n"
        "sys.meta_path.insert(0, Early())\n"
        "from tgdpo_cli.main import main\n"
        "main(['train', '--model', 'm', '--dataset', 'd', '--output-dir', 'o'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "expandable_segments:True", done.stderr

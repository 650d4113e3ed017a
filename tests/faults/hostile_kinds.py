"""What hostile or careless packages do, and what a user sees; the table of docs/plugin-faults.md.

`python tests/faults/hostile_kinds.py` writes the table anew; a test compares it with the docs.
"""

# ruff: noqa: E501 - a kind is a line of a table
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "plugin-faults.md"
BEGIN, END = "<!-- kinds: begin -->\n", "<!-- kinds: end -->\n"

REWARD = """
from tgdpo_core import TokenReward, hookimpl, option

class R(TokenReward):
    "A reward."
    def score(self, batch):
        return [[0.0] * len(e.response_ids) for e in batch]

@hookimpl
def register_token_rewards(register):
    register("mine", R)
"""
COMMANDS = """
from tgdpo_core import hookimpl

@hookimpl
def register_commands(cli):
    {body}
"""


class Kind(NamedTuple):
    """A kind of package.

    Attributes:
        did: what it does.
        source: of its module.
        saw: a pattern of what the user sees.
        said: the same in words, for the docs.
        stage: ``load``: while plugins are listed, it is BROKEN; ``warn``: it works and is named;
            ``quiet``: it works; ``use``: named when it is used, exit code 4.
    """

    did: str
    source: str
    saw: str
    said: str
    stage: str = "load"


def changed(code: str) -> str:
    return f"{code}\n{REWARD}"


def scored(body: str) -> str:
    return REWARD.replace("return [[0.0] * len(e.response_ids) for e in batch]", body)


def with_option(line: str, more: str = "") -> str:
    return more + REWARD.replace('"A reward."', f'"A reward."\n    {line}')


def command(body: str) -> str:
    return COMMANDS.format(body=body)


NAMED = "BROKEN, with what it changed; it is put back"
KINDS = {
    "raises": Kind("raises at import", "1 / 0", "ZeroDivisionError", "BROKEN, with the error"),
    "exits": Kind("calls `sys.exit` at import", "import sys; sys.exit('I quit')", "SystemExit: I quit", "BROKEN, with what it said"),
    "interrupts": Kind("raises `KeyboardInterrupt` at import", "raise KeyboardInterrupt", "it raised KeyboardInterrupt", "BROKEN; the user's own Ctrl-C still ends the command"),
    "cancels": Kind("raises `CancelledError` at import", "import asyncio; raise asyncio.CancelledError", "could not be loaded: CancelledError", "BROKEN, with the error"),
    "group": Kind("raises a group with an interrupt in it", "raise BaseExceptionGroup('x', [KeyboardInterrupt()])", r"BaseExceptionGroup: x \(1 sub-exception\)", "BROKEN, with the error"),
    "generator exit": Kind("raises `GeneratorExit` at import", "raise GeneratorExit", "could not be loaded: GeneratorExit", "BROKEN, with the error"),
    "no text": Kind("raises an error whose text cannot be had", "class E(Exception):\n    def __str__(self): raise RuntimeError('no')\nraise E", r"E: \(its text cannot be had: __str__ raised RuntimeError\)", "BROKEN, with the class of the error"),
    "hangs": Kind("hangs at import", "import time; time.sleep(600)", r"was busy with its import for more than 1 s and was stopped \(TGDPO_PLUGIN_LOAD_TIMEOUT\)", "named after 5 s, BROKEN after 60 s (`TGDPO_PLUGIN_LOAD_TIMEOUT`)"),
    "hangs in a hook": Kind("hangs in a hook", changed("").replace('register("mine", R)', "import time; time.sleep(600)"), "was busy with its hooks for more than 1 s", "the same"),
    "syntax": Kind("is no Python", "def f(:", "SyntaxError", "BROKEN, with file and line"),
    "dependency": Kind("lacks a dependency", "import no_such_module", "No module named 'no_such_module'", "BROKEN, with the module's name"),
    "escapes in an error": Kind("raises an error with control characters", r"raise RuntimeError('boom\x1b[31mRED')", r"boom\\x1b\[31mRED|boom\\e|boom␛", "BROKEN, the characters as escapes"),
    "no hook": Kind("misspells a hook", REWARD.replace("register_token_rewards", "register_token_reward"), "Did you mean 'register_token_rewards'", "BROKEN, with the right name"),
    "async hook": Kind("has a hook that is `async`", REWARD.replace("def register", "async def register"), "'register_token_rewards' is async, so that calling it registers nothing", "BROKEN, with the hook"),
    "hook yields": Kind("has a hook with a `yield`", REWARD + "    yield\n", "'register_token_rewards' has a yield", "BROKEN, with the hook"),
    "hook arguments": Kind("gives a hook other arguments", REWARD.replace("(register)", "(register, more)"), "more", "BROKEN, with the argument"),
    "another api": Kind("needs a later interface", "TGDPO_API = 99\n" + REWARD, "needs plugin API 99", "BROKEN, with both numbers"),
    "built-in name": Kind("takes a built-in name", REWARD.replace('"mine"', '"induced"'), "'induced' is already registered by tgdpo", "BROKEN, with who has the name"),
    "odd name": Kind("registers a name that cannot be typed", REWARD.replace('"mine"', '"Ünï Code"'), "use a-z, 0-9 and '-'", "BROKEN, with the rule"),
    "number as name": Kind("registers a number as name", REWARD.replace('"mine"', "3"), "name 3: use a-z", "BROKEN, with the rule"),
    "twice": Kind("registers a name twice", REWARD + "    register('mine', R)\n", "registers the token-reward 'mine' twice", "BROKEN"),
    "no class": Kind("registers something else", REWARD.replace('"mine", R', '"mine", object'), "object is not a subclass of TokenReward", "BROKEN, with the base class"),
    "halfway": Kind("registers, then raises", REWARD + "    1 / 0\n", "ZeroDivisionError", "BROKEN; nothing of it is registered"),
    "shared default": Kind("has an option with a default that all share", with_option("names: list[str] = option([], help='x')"), r"R.names = option\(\[\]", "BROKEN, with class, option and `default_factory`"),
    "shadow": Kind("has an option with the name of a method", with_option("scale: float = option(1.0, help='x')"), "R.scale = option.*TokenReward has a method of that name", "BROKEN, with class and option"),
    "working directory": Kind("changes the working directory", changed("import os; os.chdir('/')"), "changed the working directory", NAMED),
    "logging": Kind("disables logging", changed("import logging; logging.disable(50)"), "changed logging.disable", NAMED),
    "root logger": Kind("silences the root logger", changed("import logging; logging.getLogger().setLevel(50)"), "the level of the root logger", NAMED),
    "warnings": Kind("hides all warnings", changed("import warnings; warnings.simplefilter('ignore')"), "the filters of warnings", NAMED),
    "dtype": Kind("changes torch's default dtype", changed("import torch; torch.set_default_dtype(torch.float64)"), "the default dtype of torch", NAMED),
    "gradients": Kind("switches gradients off", changed("import torch; torch.set_grad_enabled(False)"), "the gradient mode of torch", NAMED),
    "threads of torch": Kind("changes torch's number of threads", changed("import torch; torch.set_num_threads(torch.get_num_threads() + 1)"), "the number of threads of torch", NAMED),
    "determinism": Kind("switches torch's determinism on", changed("import torch; torch.use_deterministic_algorithms(True)"), "the determinism of torch", NAMED),
    "autocast": Kind("enters autocast of torch for good", changed("import torch; torch.autocast('cpu', dtype=torch.bfloat16).__enter__()"), "the autocast mode of torch", NAMED),
    "precision": Kind("lowers the precision of float32 products", changed("import torch; torch.set_float32_matmul_precision('medium')"), "the float32 precision of torch", NAMED),
    "switches": Kind("turns a switch of `torch.backends`", changed("import torch; torch.backends.cudnn.benchmark = True"), "changed torch.backends.cudnn.benchmark", NAMED),
    "recursion limit": Kind("lowers the recursion limit", changed("import sys; sys.setrecursionlimit(sys.getrecursionlimit() - 100)"), "the recursion limit", NAMED),
    "path": Kind("empties `sys.path`", changed("import sys; sys.path.clear()"), "changed sys.path", NAMED),
    "output": Kind("closes standard output", changed("import os; os.close(1)"), "changed standard output", NAMED),
    "signals": Kind("takes the handlers of signals", changed("import signal\nfor number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)"), "the handlers of signals", NAMED),
    "environment": Kind("sets a variable of tgdpo", changed("import os; os.environ['TGDPO_PLUGIN_TIMEOUT'] = '0.001'"), "environment variables of tgdpo", NAMED),
    "monkey": Kind("replaces a function of torch", changed("import torch\ntorch.nn.functional.logsigmoid = lambda x: x\n"), r"it replaces torch.nn.functional.logsigmoid", "BROKEN, with the function's name; it is put back"),
    "seeds": Kind("seeds the random states", changed("import random, torch; random.seed(0); torch.manual_seed(0)"), "A reward", "nothing: the states are put back", "quiet"),
    "prints": Kind("prints at import", changed("print('hello from prints')"), "printed while it was loaded: hello from prints", "named; `plugins list --json` stays JSON", "warn"),
    "thread": Kind("leaves a thread running", changed("import threading, time\nthreading.Thread(target=time.sleep, args=(1,)).start()"), "left a thread running", "named; the command ends without it", "warn"),
    "slow": Kind("is slow to load", changed("import time; time.sleep(2.1)"), r"took \d+\.\d s to load", "named with its seconds; torch at its top is named, too", "warn"),
    "escapes in a text": Kind("has control characters in its text", REWARD.replace("A reward.", r"\x1b[2J\x1b]0;title\x07 \u202egnp.exe"), r"gnp\.exe", "escapes", "quiet"),
    "long text": Kind("has a text of 200,000 characters", REWARD.replace("A reward.", "x" * 200000), r"x{200}\.\.\.", "its first 200", "quiet"),
    "command raises": Kind("fails to add its commands", command("raise ValueError('cmd boom')"), "ValueError: cmd boom", "BROKEN; other commands work"),
    "command exits": Kind("exits when it adds its commands", command("raise SystemExit(3)"), "SystemExit: 3", "BROKEN; other commands work"),
    "command async": Kind("adds its commands in an `async` hook", command("pass").replace("def register", "async def register"), "'register_commands' is async", "BROKEN; other commands work"),
    "command no command": Kind("adds a command that is none of click", command("cli.commands['it'] = 3"), "its command 'it' is of the type int", "BROKEN; other commands work"),
    "command train": Kind("adds a built-in command", command("cli.command('train')(lambda: print('EVIL'))"), "'train' is a built-in one", "BROKEN; `tgdpo train` is tgdpo's"),
    "command name": Kind("adds a command that cannot be typed", command("cli.command('Do It')(lambda: None)"), "command name 'Do It'", "BROKEN, with the rule"),
    "post init": Kind("raises `KeyError` in `__post_init__`", with_option("def __post_init__(self): raise KeyError('nope')"), "failed when it was made .*KeyError: 'nope'", "exit 4, with its name", "use"),
    "post init assert": Kind("asserts in `__post_init__`", with_option("def __post_init__(self): assert 0, 'be positive'"), "AssertionError: be positive", "exit 4, with its name", "use"),
    "post init exits": Kind("exits in `__post_init__`", with_option("def __post_init__(self): exit('bye')"), "SystemExit: bye", "exit 4, with its name", "use"),
    "post init cancels": Kind("raises `CancelledError` in `__post_init__`", "import asyncio\n" + with_option("def __post_init__(self): raise asyncio.CancelledError"), "failed when it was made .*: CancelledError", "exit 4, with its name", "use"),
    "post init interrupts": Kind("raises `KeyboardInterrupt` in `__post_init__`", with_option("def __post_init__(self): raise KeyboardInterrupt"), "failed when it was made .*: KeyboardInterrupt", "exit 4, with its name", "use"),
    "post init no text": Kind("raises an error whose text cannot be had in `__post_init__`", "class E(ValueError):\n    def __str__(self): raise RuntimeError('no')\n" + with_option("def __post_init__(self): raise E"), "refuses its options .*its text cannot be had", "exit 4, with its name", "use"),
    "annotation": Kind("annotates an option under TYPE_CHECKING", "from __future__ import annotations\n" + with_option("s: OD = option(None, help='s')"), "annotation of an option cannot be resolved.*OD", "exit 4, with the name that is missing", "use"),
    "score exits": Kind("exits in `score`", scored("raise SystemExit(0)"), "SystemExit: 0", "exit 4, with the rows", "use"),
    "score interrupts": Kind("raises `KeyboardInterrupt` in `score`", scored("raise KeyboardInterrupt"), "failed on .*: KeyboardInterrupt", "exit 4, with the rows; the user's own Ctrl-C stays one", "use"),
    "score cancels": Kind("raises `CancelledError` in `score`", scored("import asyncio; raise asyncio.CancelledError"), "failed on .*: CancelledError", "exit 4, with the rows", "use"),
    "score cancels itself": Kind("cancels its task in an `async` `score`", scored("import asyncio; asyncio.current_task().cancel(); await asyncio.sleep(0)").replace("def score", "async def score"), "failed on .*: CancelledError", "exit 4, with the row", "use"),
    "score group": Kind("raises a group in `score`", scored("raise BaseExceptionGroup('many', [KeyboardInterrupt(), ValueError('v')])"), r"failed on .*: BaseExceptionGroup: many \(2 sub-exceptions\)", "exit 4, with the rows", "use"),
    "score generator exit": Kind("raises `GeneratorExit` in `score`", scored("raise GeneratorExit"), "failed on .*: GeneratorExit", "exit 4, with the rows", "use"),
    "score no text": Kind("raises an error whose text cannot be had in `score`", "class E(Exception):\n    def __str__(self): raise RuntimeError('no')\n" + scored("raise E"), "E: .its text cannot be had", "exit 4, with the class of the error", "use"),
    "sparse": Kind("returns a sparse tensor", scored("import torch; return [torch.ones(len(e.response_ids)).to_sparse() for e in batch]"), "sparse or nested", "exit 4, with the row", "use"),
    "in place": Kind("reverses its batch in place", scored("batch.reverse(); return [[0.0] * len(e.response_ids) for e in batch]"), "changed the order of its batch", "exit 4; nothing is stored", "use"),
    "patches in setup": Kind("changes the process in `setup`", with_option("def setup(self, context): import torch; torch.set_grad_enabled(False)"), "changed the gradient mode of torch", "exit 4; it is put back", "use"),
    "autocast in setup": Kind("enters autocast of torch in `setup`", with_option("def setup(self, context): import torch; torch.autocast('cpu', dtype=torch.bfloat16).__enter__()"), "setup: the plugin changed the autocast mode of torch", "exit 4; it is put back", "use"),
    "precision in score": Kind("lowers the precision of float32 products in `score`", scored("import torch; torch.set_float32_matmul_precision('medium'); return [[0.0] * len(e.response_ids) for e in batch]"), "changed the float32 precision of torch", "exit 4; it is put back", "use"),
    "drifts": Kind("answers differently later", with_option("calls = 0").replace("return [[0.0]", "R.calls += 1; return [[float(R.calls > 2)]"), "asked again", "exit 4 at the end of the pass; what it said is set aside", "use"),
}  # fmt: skip


def table() -> str:
    """Return the table of the docs."""
    lines = ["| a package that | what you see |", "|---|---|"]
    lines += [f"| {kind.did} | {kind.said} |" for kind in KINDS.values()]
    return "\n".join(lines) + "\n"


def page_with_table() -> str:
    """Return the page, its table made anew."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page_with_table(), encoding="utf-8")

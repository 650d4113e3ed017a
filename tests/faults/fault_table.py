"""The table of docs/reliability.md: fault, what a user gets, and the tests that hold it.

`python tests/faults/fault_table.py` writes it anew; a test compares it with the docs. Tests name
the row that they hold by its id (`test_K4_...`, or `K4` in the text of their file).
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->\n", "<!-- faults: end -->\n"
_STORE = "core/store"
_ROWS = "core/data"
_ID = re.compile(r"(?<![A-Za-z0-9])([PCDKRS])(\d{1,2})(?:-[PCDKRS](\d{1,2}))?(?![0-9A-Za-z])")


class Row(NamedTuple):
    """A fault, what a user gets, and where it is tested if no test names it."""

    id: str
    fault: str
    gets: str
    where: str = ""


ROWS = [
    Row("P1", "a plugin raises", "exit 4: plugin, rows, cause; what was stored is kept"),
    Row("P2", "a wrong shape, type or dtype", "exit 4 at the first batch: found and expected"),
    Row("P3", "a reward that is not finite", "exit 4 with the token"),
    Row("P4", "a reward model with other tokens", "aligned by characters, or exit 4"),
    Row("P5", "rewards on the prompt", "exit 4: too many values"),
    Row("P6", "rewards too large for a gradient", "exit 6 before training"),
    Row("P7", "a plugin hangs", "named after 60 s; `TGDPO_PLUGIN_TIMEOUT` ends it"),
    Row("P8", "a plugin that answers differently", "asked twice, exit 4"),
    Row("P9", "a key that differs between processes", "keys are canonical JSON"),
    Row("P10", "other weights under the same name", "keys hold content: computed again"),
    Row("P11", "a plugin that cannot be imported", "listed as broken, stops nobody else"),
    Row("P12", "two of one name, a misspelt hook", "exit 4 with both"),
    Row("P13", "a plugin of another API", "listed as broken with the version"),
    Row("P14", "a plugin that draws or writes", "its batch is a copy; draws are exit 4"),
    Row("P15", "a plugin out of memory", "asked about half as many, then named"),
    Row("C1", "a shard that is cut", "what is whole is kept, the rest computed again", _STORE),
    Row("C2", "a flipped bit in a shard", "noticed, set aside, computed again", _STORE),
    Row("C3", "a stale key", "everything that changes a value is in the key", _STORE),
    Row("C4", "two writers", "each in its own shards; work is looked up again", _STORE),
    Row("C5", "a lock of a dead process", "the system frees it", _STORE),
    Row("C6", "kill while scoring", "every answered batch is kept", _STORE),
    Row("C7", "a full disk while scoring", "exit 5, the rest is kept", _STORE),
    Row("C8", "a store of another version", "not read, computed again", _STORE),
    Row("C9", "rows in another order", "found by content", _STORE),
    Row("C10", "a store that cannot be written", "exit 5 with the folder", _STORE),
    Row("C11", "ids that are not those stored", "checksums hold key, name and length", _STORE),
    Row("D1", "a missing or misspelt key", "exit 3: row, file, line, suggestion", _ROWS),
    Row("D2", "null, numbers, text and chat mixed", "the same report", _ROWS),
    Row("D3", "an empty or equal response", "refused or counted", _ROWS),
    Row("D4", "chat rows with wrong roles", "refused or counted", _ROWS),
    Row("D5", "a prompt without room", "refused or counted", _ROWS),
    Row("D6", "a huge row", "cut to max_length, counted", _ROWS),
    Row("D7", "special tokens in text", "see docs of the data", _ROWS),
    Row("D8", "a file that is no data", "exit 3 with line and reason", _ROWS),
    Row("D9", "duplicates", "counted", _ROWS),
    Row("D10", "a template that breaks prefixes", "exit 3", _ROWS),
    Row("K1", "kill -9 at any point of a save", "`--resume` goes on from the newest whole one"),
    Row("K2", "a file lost, cut or flipped", "the one before is taken, the reason said"),
    Row("K3", "no room for a save", "exit 5 before a byte is written; the last one stays"),
    Row("K4", "SIGTERM, SIGINT, SIGHUP", "the step is saved, exit 75; the second stops at once"),
    Row("K5", "another setting on `--resume`", "exit 2: a table old/new, unless allowed by name"),
    Row("K6", "exactness of a resumed run", "bit-identical weights, under the conditions above"),
    Row("K7", "the log of a resumed run", "the same rows, the same train_loss"),
    Row("K8", "a folder with another run", "exit 2 with its status"),
    Row("K9", "two processes in one folder", "exit 2 with pid, host and time of the first"),
    Row("K10", "other versions on `--resume`", "exit 2, or `--allow-changed versions`"),
    Row("K11", "a number that is not finite", "exit 6 before the update, the batch is kept"),
    Row("K12", "out of memory in a step", "pairs, tokens, what to lower", "core/training"),
    Row("R1", "one process dies", "the launcher ends the others; resume is exact", "proof: ranks"),
    Row("R2", "an error on one process", "the same", "proof: ranks"),
    Row("R3", "one process hangs", "every stack after 0.9 of ddp_timeout; it ends", "proof: ranks"),
    Row("R4", "uneven shares", "metrics count each pair once", "core/training"),
    Row("R5", "processes that disagree", "exit 2 before anything is computed: what differs"),
    Row("R6", "a store of its own per process", "exit 2 with the folder"),
    Row("R7", "one or two processes", "the same model to 1e-4", "core/training"),
    Row("S1", "a malicious pickle", "never loaded: weights_only, safetensors", "core/training"),
    Row("S2", "remote code by a recipe", "exit 2 without `--trust-remote-code`"),
    Row("S3", "plugin code", "`TGDPO_LOAD_PLUGINS` names what may load", "core/plugin_api"),
    Row("S4", "links and odd paths", "nothing is deleted through a link", "core/training"),
    Row("S5", "HTML and Markdown in data", "escaped in pages and in the model card"),
    Row("S6", "terminal escapes in data", "shown as escapes in errors, reports and logs"),
    Row("S7", "YAML bombs and misread numbers", "exit 2, in no time, in one line"),
    Row("S8", "secrets", "no token in any file", "core/training"),
    Row("S9", "a judge that asks a server", "no built-in judge does", "none needed"),
    Row("S10", "telemetry", "none; tests run offline", "conftest.py"),
    Row("S11", "formulas in exports", "see docs of ablations", "core/experiments"),
    Row("S12", "supply chain", "`make audit`; SECURITY.md", "Makefile"),
]


def tests_by_id() -> dict[str, set[str]]:
    """Return the test files that name each row."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for kind, first, last in _ID.findall(path.read_text(encoding="utf-8")):
            for number in range(int(first), int(last or first) + 1):
                name = path.relative_to(ROOT / "tests").as_posix()
                found.setdefault(f"{kind}{number}", set()).add(name)
    return found


def table() -> str:
    """Return the table in Markdown."""
    tests = tests_by_id()
    lines = ["| | fault | what you get | held by (tests/) |", "|---|---|---|---|"]
    for row in ROWS:
        held = ", ".join(f"`{name}`" for name in sorted(tests.get(row.id, ()))) or row.where
        lines.append(f"| {row.id} | {row.fault} | {row.gets} | {held} |")
    return "\n".join(lines) + "\n"


def page_with_table(text: str) -> str:
    """Return the page with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

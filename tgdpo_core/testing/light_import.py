"""Whether importing a module loads a big library, seen in a process of its own."""

import functools
import json
import subprocess
import sys

_HEAVY = ("torch", "transformers")

# A module of --plugin-file, or of a test, has no importable name: its file is run instead.
_PROGRAM = """
import importlib, importlib.util, json, sys
name, file, path, heavy = json.loads(sys.argv[1])
sys.path[:] = path
try:
    importlib.import_module(name)
except ModuleNotFoundError as error:
    if not file or not name.startswith(str(error.name)):
        raise
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
print(json.dumps([library for library in heavy if library in sys.modules]))
"""


@functools.cache
def heavy_imports(module: str) -> list[str]:
    """Return which of torch and transformers the import of a module loads.

    Raises:
        AssertionError: it cannot be imported in a new process.
    """
    file = getattr(sys.modules.get(module), "__file__", None)
    arguments = json.dumps([module, file, sys.path, _HEAVY])
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise AssertionError(f"{module} cannot be imported in a new process: {reason}")
    loaded: list[str] = json.loads(done.stdout.rpartition("\n")[0].rpartition("\n")[2])
    return loaded

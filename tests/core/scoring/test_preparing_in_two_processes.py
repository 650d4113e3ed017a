"""The first process of a run fits a reward, the others read what it left."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("two_process_prepare.py")
ROOT = Path(__file__).parents[3]


def test_the_first_process_fits_and_all_hear_of_a_failure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", str(20_000 + os.getpid() % 20_000), str(SCRIPT), str(tmp_path)]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "fits").read_text().split() == ["0"]
    for rank in range(2):
        found = json.loads((tmp_path / f"found-{rank}.json").read_text())
        assert found["values"] == [80.0]
        assert "failed on the training set: ValueError: no words" in found["error"]

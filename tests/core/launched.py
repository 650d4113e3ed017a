"""What each process of test_launching.py does: `python -m tests.core.launched CASE FOLDER`."""

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

case, folder = sys.argv[1], Path(sys.argv[2])
rank = int(os.environ["RANK"])


def stop(number: int, frame: FrameType | None) -> None:
    (folder / f"stopped-{rank}").touch()
    time.sleep(0.3 * rank)  # a save that takes its time
    sys.exit(75)


if case == "saves":
    signal.signal(signal.SIGTERM, stop)
(folder / f"threads-{os.environ['OMP_NUM_THREADS']}").touch()
(folder / f"rank-{rank}-of-{os.environ['WORLD_SIZE']}").touch()
if case == "fails" and rank == 1:
    sys.exit(3)
if case == "killed" and rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
if case != "ends":
    time.sleep(60)

"""What is over is removed again and again, beside what is measured: `idp purge` without its start-up."""

import signal
import sys
import time
from types import FrameType

from idp.cli import main

BEGINS = "the first purge begins"
PAUSE_SECONDS = 1.0


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit()  # what a purge has under way is rolled back


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)
    print(BEGINS, flush=True)
    while True:
        main(["purge"], standalone_mode=False)
        time.sleep(PAUSE_SECONDS)

"""The command line in processes of its own, which a test waits for, interrupts and kills."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

Process = subprocess.Popen[str]
Start = Callable[..., Process]

# a shell has its background jobs ignore Ctrl-C, and all that they start: Python leaves it at that
HEARS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
MODULE = "import runpy; runpy.run_module('hotgrad', run_name='__main__', alter_sys=True)\n"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
PATIENCE = 120


@contextmanager
def ended() -> Iterator[Start]:
    """What starts the command line with arguments; all that it started ends with the block."""
    with ExitStack() as processes:

        def start(*arguments: str) -> Process:
            process = subprocess.Popen(
                [sys.executable, "-c", HEARS_CTRL_C + MODULE, *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=ENVIRONMENT,
            )
            # in this order on the way out: killed, then waited for and its pipes closed
            processes.enter_context(process)
            processes.callback(process.kill)
            return process

        yield start


def wait_until(moment: Callable[[], bool], process: Process) -> None:
    """Until a process has done something, which it must before it ends."""
    deadline = time.monotonic() + PATIENCE
    while not moment():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)

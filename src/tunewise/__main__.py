"""`python -m tunewise`, and the console script."""

import signal
import sys
import threading
from types import FrameType

from tunewise import streams

CALLED_BACK = "_hear"
"""Name of the functions that llama.cpp calls."""
SOON = 0.02
"""Seconds after which an interrupt that cannot be raised yet is tried again."""


def interrupt(number: int, frame: FrameType | None) -> None:
    """Ctrl-C. In a function that llama.cpp calls an exception would be lost, so it waits until the pass is over."""
    while frame is not None:
        if frame.f_code.co_name == CALLED_BACK:
            threading.Timer(SOON, signal.raise_signal, (number,)).start()
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; a Ctrl-C while it is still being loaded ends quietly, too."""
    streams.prepare()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, interrupt)
    try:
        from tunewise.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("tunewise: stopped.\n")
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()

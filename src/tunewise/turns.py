"""Taking turns at the model: a lock that is fair, and a flag that asks to stop."""

import ctypes
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tunewise.errors import Cancelled


@dataclass
class CancelToken:
    """Asks a session to stop; safe to set from any thread, looked at even inside a forward pass."""

    _flag: ctypes.Array[ctypes.c_char] = field(default_factory=lambda: ctypes.create_string_buffer(b"0", 2))

    def set(self) -> None:
        """Ask to stop."""
        self._flag.value = b"1"

    @property
    def is_set(self) -> bool:
        """Whether someone asked to stop."""
        return self._flag.value == b"1"

    @property
    def address(self) -> int:
        """Where llama.cpp finds the flag."""
        return ctypes.addressof(self._flag)


class FairLock:
    """A lock that serves waiting threads in the order in which they came."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._held = False

    @contextmanager
    def hold(self, cancel: CancelToken) -> Iterator[None]:
        """Wait for one's turn and keep it.

        Raises:
            Cancelled: `cancel` was set while waiting.
        """
        turn = threading.Event()
        with self._mutex:
            if not self._held and not self._waiting:
                self._held = True
                turn.set()
            else:
                self._waiting.append(turn)
        try:
            while not turn.wait(0.05):
                if cancel.is_set:
                    raise Cancelled("Stopped while waiting for the model.")
            yield
        finally:
            # Ctrl-C ends the waiting, too: a turn that nobody takes would hold the lock for ever.
            self._leave(turn)

    def _leave(self, turn: threading.Event) -> None:
        """Give up a place among those who wait, or pass the lock on where it was one's turn already."""
        with self._mutex:
            if not turn.is_set():
                self._waiting.remove(turn)
            elif self._waiting:
                self._waiting.popleft().set()
            else:
                self._held = False

    @property
    def waiting(self) -> int:
        """How many threads wait for their turn."""
        return len(self._waiting)

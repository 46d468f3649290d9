"""The line in front of the model: first come, first served, one question a session at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tunewise.errors import InputError
from tunewise.turns import CancelToken

BUSY = "The answer before is still being written."
BUSY_REMEDY = "Wait for it, or press Stop."
LOOK = 0.5
"""Seconds after which someone who waits looks at the line again."""


class Place:
    """A place in the line; made by `Line.place`."""

    def __init__(self, line: "Line", session: str) -> None:
        self._line = line
        self.session = session
        self.cancel = CancelToken()
        self.left = threading.Event()

    def waiting(self) -> Iterator[int]:
        """How many are before this one, whenever that changed; ends when it is its turn or was stopped."""
        told = -1
        while (ahead := self._line.ahead(self, told)) and not self.cancel.is_set:
            if ahead != told:
                told = ahead
                yield ahead


class Line:
    """The line in front of the model. Gradio's own queue tells nobody his place, and what it cancels it
    cancels late: a question sent in the meantime went with it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._places: list[Place] = []

    @contextmanager
    def place(self, session: str, patience: float = 0) -> Iterator[Place]:
        """A place at the end of the line until the block is left.

        Args:
            session: Whose.
            patience: Seconds to wait for another place of the session to be left.

        Raises:
            InputError: The session has a place already.
        """
        place = Place(self, session)
        with self._changed:
            if not self._changed.wait_for(lambda: not self._has(session), patience):
                raise InputError(BUSY, BUSY_REMEDY)
            self._places.append(place)
        try:
            yield place
        finally:
            with self._changed:
                self._places.remove(place)
                self._changed.notify_all()
            place.left.set()

    def stop(self, session: str, wait: float = 0) -> None:
        """Stop the question of a session, if it has one.

        Args:
            session: Whose.
            wait: Seconds to wait until it has left the line.
        """
        with self._changed:
            places = [place for place in self._places if place.session == session]
            for place in places:
                place.cancel.set()
            self._changed.notify_all()
        for place in places:
            place.left.wait(wait)

    def ahead(self, place: Place, known: int) -> int:
        """How many are before a place, once that is another number than the known one, or after a while."""
        with self._changed:
            self._changed.wait_for(lambda: self._places.index(place) != known or place.cancel.is_set, LOOK)
            return self._places.index(place)

    def _has(self, session: str) -> bool:
        return any(place.session == session for place in self._places)

    def __len__(self) -> int:
        return len(self._places)

"""Where the time of a question goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tunewise.schema import Timings


@dataclass
class Clock:
    """Seconds and tokens of one question."""

    start: float = field(default_factory=time.perf_counter)
    load: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    tokens_read: int = 0
    tokens_written: int = 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add what is done inside to a part of the work."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.parts[name] = self.parts.get(name, 0.0) + time.perf_counter() - began

    @property
    def elapsed(self) -> float:
        """Seconds since the question, without loading."""
        return time.perf_counter() - self.start - self.load

    def timings(self) -> Timings:
        """What is shown of it."""
        return Timings(
            load=self.load,
            total=self.elapsed,
            tokens_read=self.tokens_read,
            tokens_written=self.tokens_written,
            **self.parts,
        )

"""What an operator sees of the answers: one JSON line each, and OpenTelemetry spans where someone collects them.

A line holds timings, tokens, the verdict and hashes of all that computed it. What a user wrote is in it only
where the setting `log_text` asks for it.
"""

import hashlib
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from tunewise.schema import Answer, Judgement, Provenance
from tunewise.streams import as_json

TRACING = "opentelemetry.trace"
Seen = TypeVar("Seen", bound=Judgement | Answer)


class Observer:
    """Writes down what was answered.

    Args:
        file: Gets a JSON line for every answer; None keeps no file.
        aloud: Also write the lines to stderr.
        text: Put into them what the user wrote.
    """

    def __init__(self, file: Path | None = None, *, aloud: bool = False, text: bool = False) -> None:
        self._file = file
        self._aloud = aloud
        self._text = text
        self._guard = threading.Lock()

    @property
    def idle(self) -> bool:
        """Whether nobody looks."""
        return self._file is None and not self._aloud and TRACING not in sys.modules

    def see(self, result: Seen, provenance: Provenance) -> None:
        """Take note of an answer. A file that cannot be written is left alone: the answer goes first."""
        line = entry(result, provenance, text=self._text)
        if self._aloud:
            sys.stderr.write(as_json(line, sys.stderr) + "\n")
        if self._file is not None:
            try:
                with self._guard, self._file.expanduser().open("a", encoding="utf-8") as stream:
                    stream.write(as_json(line, stream) + "\n")
            except OSError as error:
                sys.stderr.write(f"tunewise: the log {self._file} cannot be written: {error.strerror or error}.\n")
        _span(line)


def entry(result: Judgement | Answer, provenance: Provenance, *, text: bool = False) -> dict[str, Any]:
    """The line of one answer."""
    said = result.situation if isinstance(result, Judgement) else result.question
    line: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "kind": type(result).__name__.lower(),
        "text_sha256": hashlib.sha256(said.encode("utf-8", "replace")).hexdigest(),
        "characters": len(said),
    }
    if isinstance(result, Judgement):
        line |= {
            "verdict": result.verdict.value,
            "confidence": round(result.confidence, 4),
            "calibrated": result.calibrated,
            "method": result.method.value if result.method else None,
            "notes": len(result.notes),
        }
        reasons = getattr(result, "reasons", ())
        line |= {"reasons": len(reasons), "composed": sum(reason.composed for reason in reasons)}
    else:
        line |= {"on_topic": result.on_topic, "sources": len(result.evidence)}
    seconds = result.timings.model_dump(exclude_none=True)
    line["timings"] = {name: round(value, 4) for name, value in seconds.items()}
    line |= provenance.model_dump()
    if text:
        line["text"] = said
    return line


def _span(line: dict[str, Any]) -> None:
    """A span for an answer; costs nothing and goes nowhere unless the program set up a collector."""
    tracing = sys.modules.get(TRACING)
    if tracing is None:
        return
    end = time.time_ns()
    begin = end - int(line["timings"]["total"] * 1e9)
    span = tracing.get_tracer("tunewise").start_span(f"tunewise.{line['kind']}", start_time=begin)
    for name, value in line.items():
        if name == "timings":
            for part, seconds in value.items():
                span.set_attribute(f"tunewise.timings.{part}", seconds)
        elif name not in ("time", "text") and value is not None:
            span.set_attribute(f"tunewise.{name}", value)
    span.end(end_time=end)

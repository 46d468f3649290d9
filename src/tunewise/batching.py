"""Many situations from a table: every row is judged once, whatever interrupts the run.

Each result is a line of a journal beside the output, synced as soon as it is reached; several rows share a pass
of the model. A run that is started again takes over what the journal holds of its texts, wherever they stand now,
and the output appears in one piece at the end.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from tunewise.advisor import Advisor
from tunewise.cluster import Cluster
from tunewise.decision import CLOSE_CALL
from tunewise.errors import StoreError, TunewiseError, UnfitError, UserError, printable
from tunewise.remote import RemoteAdvisor
from tunewise.schema import Judgement, Value, Verdict
from tunewise.tables import Table, write
from tunewise.together import Lanes

REQUESTS = 8
"""Rows that are asked of a model elsewhere at the same time; its server reads them side by side."""
WINDOW = 32
"""Rows that are looked at together; as many of them as fit go through the model at once."""
NESTED = frozenset({"advice", "error"})
FLAT = frozenset(
    {"verdict", "confidence", "close_call", "method", "would_change", "question", "reasons", "sources", "error"}
    | {f"p_{verdict.value}" for verdict in Verdict}
)
"""Columns of ours in an output; columns of the input with such a name get another one."""


class Outcome(Value):
    """What became of a row."""

    row: int
    """Place in the table, from 0."""
    digest: str
    """Of its text: a result belongs to a text, wherever it stands when the table is changed."""
    result: dict[str, Any] | None = None
    """The judgement or advice as JSON, without timings; None where the row failed."""
    error: str | None = None
    """Why it failed, in a sentence."""
    earlier: bool = Field(default=False, exclude=True)
    """Whether an earlier run judged the text."""


class Key(Value):
    """What a journal's results depend on; under another key it is not taken over."""

    model: str
    prompts: str
    knowledge: str | None
    """None for verdicts alone, which look nothing up."""
    head: str | None
    reasons: bool
    version: int = 2


@dataclass(frozen=True)
class Summary:
    """What a run came to."""

    verdicts: Mapping[Verdict, int]
    close: int
    """Verdicts that are too close to call."""
    failed: int


def _quietly(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Job:
    """One table to be judged into one output."""

    advisor: Advisor
    table: Table
    out: Path
    reasons: bool = False
    """Whole answers with reasons instead of verdicts alone."""
    keep: Sequence[str] | None = None
    """Columns of the input that the output has too; all where None."""
    cluster: Cluster | None = None
    """Judges in the advisor's place."""
    tell: Callable[[str], None] = _quietly
    """Called with a sentence that the person who waits should know."""

    def run(self) -> Generator[Outcome, None, None]:
        """Judge what has not been judged; hands out every outcome, those of earlier runs first.

        Raises:
            StoreError: The journal or the output cannot be written.
            UserError: Another process works on the same output.
        """
        rows = range(len(self.table.rows))
        with _alone(self.out), _failing(self.out):
            kept = self._resume()
            digests = {place: _digest(self.table.text(place)) for place in rows}
            done = {
                place: _moved(kept[digest], place, earlier=True) for place, digest in digests.items() if digest in kept
            }
            yield from done.values()
            left = [place for place in rows if place not in done]
            with self._journal.open("a", encoding="utf-8") as journal, self._lanes(left) as lanes:
                for outcome in self._judge(left, done, lanes):
                    _append(journal, outcome.model_dump_json())
                    done[outcome.row] = outcome
                    yield outcome
            write(self.out, [self._line(done[place]) for place in rows])
            # The rows that a limit left out may have been judged before, and those judged now are rows of a whole run.
            if self.table.whole:
                self._journal.unlink()

    @property
    def _journal(self) -> Path:
        return self.out.with_name(self.out.name + ".partial")

    def _key(self) -> Key:
        made = self.advisor.provenance()
        return Key(
            model=made.model_sha256,
            prompts=made.prompts,
            knowledge=made.knowledge if self.reasons else None,
            head=made.head,
            reasons=self.reasons,
        )

    def _resume(self) -> dict[str, Outcome]:
        """What earlier runs judged, by the digest of its text; the journal is left with that alone."""
        key = self._key().model_dump_json()
        # A line that was torn by a full disk may end within a letter.
        stored = self._journal.read_text(encoding="utf-8", errors="replace") if self._journal.exists() else ""
        head, *lines = stored.split("\n")
        if head != key and any(lines):
            self._set_aside()
        kept = {item.digest: item for item in _outcomes(lines)} if head == key else {}
        partial = self._journal.with_suffix(".rewrite")
        with partial.open("w", encoding="utf-8") as file:
            for line in (key, *(item.model_dump_json() for item in kept.values())):
                _append(file, line)
        partial.replace(self._journal)
        return kept

    def _set_aside(self) -> None:
        """Keep a journal of other results: the next run may be asked for them again."""
        names = (self._journal.with_name(f"{self._journal.name}.{number}") for number in count(1))
        aside = next(name for name in names if not name.exists())
        self._journal.rename(aside)
        why = "is of another model, prompt, head or knowledge, or of the other kind of answer"
        self.tell(printable(f"{self._journal} {why}; it is now {aside.name}, and every row is judged anew."))

    def _judge(self, places: Sequence[int], done: Mapping[int, Outcome], lanes: Lanes | None) -> Iterator[Outcome]:
        """Judge rows, in order; a text that was judged before keeps its result."""
        known = {outcome.digest: outcome for outcome in done.values()}
        size = self.cluster.window if self.cluster else WINDOW
        for start in range(0, len(places), size):
            window = places[start : start + size]
            texts = {_digest(self.table.text(place)): self.table.text(place) for place in window}
            fresh = {digest: text for digest, text in texts.items() if digest not in known}
            results = zip(fresh, self._results(list(fresh.values()), lanes), strict=True)
            for place in window:
                digest = _digest(self.table.text(place))
                while digest not in known:
                    judged, result = next(results)
                    known[judged] = _outcome(place, judged, result)
                yield _moved(known[digest], place)

    def _results(self, texts: Sequence[str], lanes: Lanes | None) -> Iterator[Judgement | TunewiseError]:
        if self.cluster is not None:
            yield from self.cluster.judge(texts)
        elif lanes is not None:
            yield from lanes.judge(texts)
        elif isinstance(self.advisor, RemoteAdvisor):
            pool = ThreadPoolExecutor(REQUESTS)
            try:
                yield from pool.map(self._result, texts)
            finally:
                pool.shutdown(cancel_futures=True)
        else:
            yield from map(self._result, texts)

    @contextmanager
    def _lanes(self, left: Sequence[int]) -> Iterator[Lanes | None]:
        """Contexts beside each other, where verdicts alone are asked of the local model."""
        elsewhere = self.cluster is not None or isinstance(self.advisor, RemoteAdvisor)
        if not left or self.reasons or elsewhere:
            yield None
            return
        lanes = Lanes(self.advisor)
        try:
            yield lanes
        finally:
            lanes.close()

    def _result(self, text: str) -> Judgement | TunewiseError:
        try:
            return self.advisor.ask(text) if self.reasons else self.advisor.judge(text)
        # An engine that cannot be reached fails the run, which then goes on where it stopped; not the rows left.
        except (UserError, UnfitError) as error:
            return error

    def _kept(self, name: str) -> bool:
        return self.keep is None or name in self.keep

    def _line(self, outcome: Outcome) -> dict[str, Any]:
        """A row of the output: the columns of the input, then ours."""
        ours = NESTED if self.out.suffix == ".jsonl" else FLAT
        given = self.table.rows[outcome.row].items()
        row = {f"input_{name}" if name in ours else name: value for name, value in given if self._kept(name)}
        if self.out.suffix == ".jsonl":
            return row | {"advice": outcome.result, "error": outcome.error}
        return row | flat(outcome)


def _outcomes(lines: Iterable[str]) -> Iterator[Outcome]:
    """What the lines of a journal say; one that was torn says nothing."""
    for line in lines:
        with suppress(ValidationError):
            yield Outcome.model_validate_json(line)


def _moved(outcome: Outcome, place: int, **update: bool) -> Outcome:
    return outcome.model_copy(update={"row": place, **update})


def _outcome(row: int, digest: str, result: Judgement | TunewiseError) -> Outcome:
    if isinstance(result, TunewiseError):
        return Outcome(row=row, digest=digest, error=str(result))
    dumped = result.model_dump(mode="json", exclude={"situation", "timings"})
    return Outcome(row=row, digest=digest, result=dumped)


def chosen_columns(names: str | None, table: Table) -> Sequence[str] | None:
    """The columns to keep, from a list with commas.

    Raises:
        UserError: The table has no such column.
    """
    if names is None:
        return None
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = table.columns
    for name in wanted:
        if name not in known:
            message = printable(f"The table has no column '{name}'.")
            raise UserError(message, printable(f"It has {', '.join(known)}."))
    return wanted


def flat(outcome: Outcome) -> dict[str, Any]:
    """An outcome in columns."""
    result = outcome.result or {}
    shares = result.get("probabilities", {})
    reasons = result.get("reasons", [])
    change = next(iter(result.get("would_change", [])), None)
    cited = [evidence["source"] for reason in reasons for evidence in reason["evidence"]]
    return {
        "verdict": result.get("verdict", ""),
        "confidence": _rounded(result.get("confidence")),
        **{f"p_{verdict.value}": _rounded(shares.get(verdict.value)) for verdict in Verdict},
        "close_call": is_close(outcome),
        "method": result.get("method") or "",
        "would_change": _change(change) if change else "",
        "question": next(iter(result.get("questions", [])), ""),
        **({"reasons": " ".join(reason["text"] for reason in reasons)} if reasons else {}),
        **({"sources": "; ".join(dict.fromkeys(cited))} if cited else {}),
        "error": outcome.error or "",
    }


def _change(change: Mapping[str, Any]) -> str:
    parts = [change, change["also"]] if change.get("also") else [change]
    return f"{' and '.join(part['meaning'] for part in parts)} → {change['verdict']}"


def is_close(outcome: Outcome) -> bool:
    """Whether the two best verdicts lie too near to each other to call."""
    shares = sorted((outcome.result or {}).get("probabilities", {}).values(), reverse=True)
    return len(shares) > 1 and shares[0] - shares[1] < CLOSE_CALL


def summarise(outcomes: Sequence[Outcome]) -> Summary:
    """Count verdicts, close calls and failures."""
    counts = Counter(Verdict(outcome.result["verdict"]) for outcome in outcomes if outcome.result)
    return Summary(
        verdicts={verdict: counts[verdict] for verdict in Verdict},
        close=sum(is_close(outcome) for outcome in outcomes),
        failed=sum(outcome.error is not None for outcome in outcomes),
    )


def _append(stream: Any, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()
    os.fsync(stream.fileno())


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(out.with_name(f".{out.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"Another process writes {out}.", "Wait for it, or name another output.") from None
    except OSError as error:
        raise StoreError(f"{out} cannot be written: {error.strerror or error}.") from error
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


@contextmanager
def _failing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = "Make room or name another output; the same command then goes on where it stopped."
        raise StoreError(f"{out} cannot be written: {error.strerror or error}.", remedy) from error

"""Memory and file descriptors over many questions in a row.

    python -m evals.endurance [--questions 200] [--model NAME]

Short situations, judged or answered in full, questions about the subject, searches, refused messages and
streams that are left early or late, mixed. Growth is counted from the end of a warm-up, in which every kind
of work has been done.
"""

import argparse
import contextlib
import gc
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from tunewise import Advisor
from tunewise.errors import TunewiseError
from tunewise.schema import EvidenceEvent, FactorEvent, TextEvent

WARM = 24
"""Questions before the first measurement: caches fill and llama.cpp reserves its buffers; three of every kind."""
GROWTH = 0.02
SETTLE = 5.0
"""Seconds in which a thread that was at work when the last answer came may close what it had open."""
SUBJECTS = ("photos of tiles", "support mails", "sensor readings", "scanned forms", "bird calls", "loan applications")
WISHES = ("sort them by defect", "answer in our tone", "predict failures", "find the dates", "name the species")
DATA = ("no labels at all", "300 labels", "40,000 labelled rows", "two million examples", "a handful of samples")
ABOUT = (
    "When is LoRA better than full fine-tuning",
    "How does quantisation change a model's quality",
    "How is overfitting noticed",
    "Why is a test set kept apart from training",
    "When does retrieval beat fine-tuning",
)
LEFT = (FactorEvent, EvidenceEvent, TextEvent)
"""Events of a stream behind which it is left: in the sheet, before the reasons, within them."""


@dataclass(frozen=True)
class Growth:
    """What a run came to."""

    questions: int
    memory: float
    """Share by which the resident memory grew."""
    left_open: tuple[str, ...]
    """What the file descriptors name that were opened and not closed."""


def ask(advisor: Advisor, number: int) -> None:
    """One of many different questions."""
    subject, wish, data = SUBJECTS[number % 6], WISHES[number // 6 % 5], DATA[number // 30 % 5]
    text = f"Case {number}: we have {subject} and want to {wish}. There are {data}."
    with contextlib.suppress(TunewiseError):
        match number % 8:
            case 1:
                advisor.ask(text)
            case 2:
                advisor.answer(f"{ABOUT[number // 8 % 5]} for {subject}?")
            case 3:
                advisor.search(text)
            case 5:
                # Nobody reads on: the generator is closed when it is let go.
                for event in advisor.stream(text):
                    if isinstance(event, LEFT[number // 8 % 3]):
                        break
            case 6:
                advisor.judge("\x00" * (number + 1))
            case _:
                advisor.judge(text)


def descriptors() -> Counter[str]:
    """What this process holds open: the file, or the kind and number of a pipe or a socket."""
    found: Counter[str] = Counter()
    for link in Path("/dev/fd").iterdir():
        # The listing's own descriptor is closed by now.
        with contextlib.suppress(OSError):
            found[str(link.readlink())] += 1
    return found


def left_open(before: Counter[str]) -> tuple[str, ...]:
    """What is open beyond `before` when all have had the time to close it."""
    end = time.monotonic() + SETTLE
    while (now := descriptors()).total() > before.total() and time.monotonic() < end:
        time.sleep(0.1)
    return tuple(sorted((now - before).elements())) if now.total() > before.total() else ()


def run(advisor: Advisor, questions: int, *, loud: bool = False) -> Growth:
    """Ask so many questions behind the warm-up, and measure."""
    process = psutil.Process()
    for number in range(WARM):
        ask(advisor, number)
    gc.collect()
    memory, before = process.memory_info().rss, descriptors()
    for number in range(WARM, WARM + questions):
        ask(advisor, number)
        if loud and (number - WARM) % 20 == 19:
            print(f"{number - WARM + 1:4} questions {process.memory_info().rss / memory - 1:+.2%}", flush=True)
    gc.collect()
    return Growth(questions, process.memory_info().rss / memory - 1, left_open(before))


def main() -> None:
    """Read the arguments, run, print."""
    options = argparse.ArgumentParser(prog="python -m evals.endurance", description="Many questions in a row.")
    options.add_argument("--questions", type=int, default=200)
    options.add_argument("--model", default=None)
    given = options.parse_args()
    advisor = Advisor(offline=True, **({"model": given.model} if given.model else {}))
    found = run(advisor, given.questions, loud=True)
    names = ", ".join(found.left_open) or "nothing"
    print(f"{found.questions} questions: memory {found.memory:+.2%}, left open: {names}")
    sys.exit(0 if found.memory <= GROWTH and not found.left_open else 1)


if __name__ == "__main__":
    main()

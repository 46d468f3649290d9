"""Many questions, many threads, streams that nobody reads to the end."""

import threading
from typing import Any

import pytest
from evals import endurance

from tunewise.errors import Cancelled
from tunewise.estimation.calculator import calculate
from tunewise.schema import DoneEvent, EvidenceEvent, FactorEvent, StatusEvent, TextEvent
from tunewise.turns import CancelToken

STORIES = [
    "We have 4,000 labelled photos of tiles and one GPU.",
    "Our support bot must quote prices that change every week.",
    "Predict churn from 300,000 customer rows with 40 columns.",
]


class Noted:
    """In place of an advisor: writes down what it is asked for, and which events of its streams are taken."""

    def __init__(self):
        self.calls = set()

    def __getattr__(self, name):
        return lambda text: self.calls.add(name)

    def stream(self, text):
        events: list[Any] = [StatusEvent, FactorEvent, EvidenceEvent, TextEvent, DoneEvent]
        for event in events:
            self.calls.add(event)
            yield event.model_construct()


def test_the_warm_up_does_every_kind_of_work():
    noted: Any = Noted()
    for number in range(endurance.WARM):
        endurance.ask(noted, number)
    names = {"judge", "ask", "answer", "search"}
    assert noted.calls == names | {StatusEvent, FactorEvent, EvidenceEvent, TextEvent}


def test_questions_about_the_subject_are_no_calculations():
    asked = [f"{about} for {subject}?" for about in endurance.ABOUT for subject in endurance.SUBJECTS]
    assert not [text for text in asked if calculate(text)]


@pytest.mark.timeout(1500)
def test_memory_stays_flat_and_nothing_is_left_open(advisor):
    found = endurance.run(advisor, 40)
    # 2 % is the aim over 200 questions (evals/NOTES.md); other tests of this process leave it less quiet.
    assert found.memory <= 0.05
    assert found.left_open == ()


def test_threads_get_what_each_would_get_alone(advisor):
    alone = [advisor.judge(text).probabilities for text in STORIES]
    advisor._readings.clear()
    found = {}

    def work(number):
        found[number] = advisor.judge(STORIES[number % 3]).probabilities

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert sorted(found) == list(range(6))
    for number, shares in found.items():
        assert shares == pytest.approx(alone[number % 3], abs=1e-4)


def test_cancelled_streams_leave_the_model_free(advisor):
    before = endurance.descriptors()
    for left in (1, 3, 6):
        for place, _ in enumerate(advisor.stream(STORIES[0])):
            if place == left:
                break
    token = CancelToken()
    stream = advisor.stream(STORIES[1], cancel=token)
    next(stream)
    token.set()
    with pytest.raises(Cancelled):
        list(stream)
    assert advisor.judge(STORIES[2]).verdict
    assert endurance.left_open(before) == ()

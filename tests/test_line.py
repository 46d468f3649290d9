"""The line in front of the model."""

import threading

import pytest

from tunewise.errors import InputError
from tunewise.ui.line import Line


def test_everyone_is_served_in_the_order_of_arrival_and_one_at_a_time():
    line, served, inside = Line(), [], []
    ready = threading.Event()

    def customer(name, seen):
        with line.place(name) as place:
            if name == "0":
                ready.wait(5)
            for ahead in place.waiting():
                seen.append(ahead)
            inside.append(name)
            served.append((name, len(inside)))
            inside.remove(name)

    told: list[list[int]] = [[] for _ in range(8)]
    threads = []
    for number in range(8):
        threads.append(threading.Thread(target=customer, args=(str(number), told[number])))
        threads[-1].start()
        while len(line) <= number:
            pass
    ready.set()
    for thread in threads:
        thread.join(10)
    assert served == [(str(number), 1) for number in range(8)]
    assert all(seen == sorted(seen, reverse=True) for seen in told)
    assert len(line) == 0


def test_a_session_has_one_question_at_a_time_and_may_ask_again_afterwards():
    line = Line()
    with line.place("a"), pytest.raises(InputError, match="still being written"), line.place("a"):
        pass
    with line.place("a") as place:
        assert list(place.waiting()) == []


def test_stopping_sets_the_token_of_that_session_alone_and_waits_until_it_has_left():
    line, entered, stopped = Line(), threading.Event(), []

    def asker():
        with line.place("a") as place:
            entered.set()
            while not place.cancel.is_set:
                pass
            stopped.append("a")

    thread = threading.Thread(target=asker)
    thread.start()
    entered.wait(5)
    with line.place("b") as other:
        line.stop("a", wait=5)
        assert stopped == ["a"] and not other.cancel.is_set
        assert list(other.waiting()) == []
    thread.join(5)


def test_one_who_waits_and_is_stopped_gives_up_his_place():
    line = Line()
    with line.place("first"):
        with line.place("second") as second:
            waiting = second.waiting()
            assert next(waiting) == 1
            line.stop("second")
            assert list(waiting) == []
        assert len(line) == 1

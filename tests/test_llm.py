import threading
import time

import numpy as np
import pytest

from tunewise.errors import Cancelled, EngineError, InputError
from tunewise.llm import CHUNK, DEPTHS, HOLE, LocalModel
from tunewise.session import open_session
from tunewise.turns import CancelToken, FairLock

MESSAGES = [
    {"role": "system", "content": "You answer in one word."},
    {"role": "user", "content": "Is the sky blue?"},
    {"role": "assistant", "content": "Yes"},
    {"role": "user", "content": HOLE},
]


@pytest.fixture(scope="module")
def model(advisor):
    return advisor.model


@pytest.fixture(scope="module")
def prefix(model):
    return model.prefix(MESSAGES)


def choose(model, prefix, text, options):
    with open_session(model, prefix) as session:
        session.read(text)
        session.close_turn()
        return session.choose(options)


def test_a_choice_is_a_distribution_and_sensible(model, prefix):
    right = choose(model, prefix, "Is London a city in England?", ["Yes", "No"])
    wrong = choose(model, prefix, "Is London a city in Japan?", ["Yes", "No"])
    assert right.probabilities[0] > wrong.probabilities[0]
    assert sum(right.probabilities) == pytest.approx(1.0)


def test_the_same_question_has_the_same_answer(model, prefix):
    assert choose(model, prefix, "Is ice warm?", ["Yes", "No"]) == choose(model, prefix, "Is ice warm?", ["Yes", "No"])


def test_options_that_begin_alike_are_told_apart(model, prefix):
    choice = choose(model, prefix, "Which city is the capital of France?", ["Paris", "Par avion", "London"])
    assert choice.index == 0
    assert sum(choice.probabilities) == pytest.approx(1.0)


def test_choices_side_by_side_agree_with_single_ones(model, prefix):
    options = ["Yes", "No"]
    with open_session(model, prefix) as session:
        session.read("Is snow white?")
        session.close_turn()
        (first, second), states = session.choose_side_by_side(["Answer: ", "Opposite: "], [options, options])
        session.read("Answer: ")
        alone = session.choose(options)
    assert first.probabilities == pytest.approx(alone.probabilities, abs=0.02)
    assert states.shape == (len(DEPTHS), 2, model.width) and np.isfinite(states).all()
    assert second.probabilities != first.probabilities


def test_hidden_states_of_a_text_do_not_depend_on_how_it_is_cut_into_passes(model, prefix):
    text = "We have three thousand labelled photographs of leaves and one small card. " * 14
    cut = text.index(" ", 300)
    with open_session(model, prefix) as session:
        session.read(text)
        whole = session.hidden()
    with open_session(model, prefix) as session:
        session.read(text[:cut])
        first = session.hidden()
        session.read(text[cut:])
        second = session.hidden()
    parts = np.concatenate([first, second], axis=1)
    assert whole.shape[0] == len(DEPTHS) and whole.shape[1] > CHUNK
    assert whole.shape == parts.shape
    for one, other in zip(whole.mean(axis=1), parts.mean(axis=1), strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.999
    assert not np.allclose(whole[0], whole[-1])


def test_hidden_states_need_text(model, prefix):
    with open_session(model, prefix) as session, pytest.raises(EngineError, match="newly read"):
        session.hidden()


def test_writing_stops_at_a_stop_text(model, prefix):
    with open_session(model, prefix) as session:
        session.read("Count from one to nine in digits with commas.")
        session.close_turn()
        text = "".join(session.write("1, 2, 3,", limit=30, stop=["7"]))
    assert "5" in text and "7" not in text


def test_texts_written_side_by_side_do_not_mix(model, prefix):
    with open_session(model, prefix) as session:
        session.read("Go on counting.")
        session.close_turn()
        texts = ["", ""]
        for index, piece in session.write_side_by_side(["1, 2, 3,", "10, 20, 30,"], limit=12):
            texts[index] += piece
        again = "".join(session.write("1, 2, 3,", limit=12))
    assert "40" in texts[1] and "40" not in texts[0]
    assert texts[0] == again


def test_a_limit_holds(model, prefix):
    with open_session(model, prefix) as session:
        session.read("Tell a long story.")
        session.close_turn()
        list(session.write("Once upon a time", limit=5))
        assert session.tokens_written == 5


def test_control_tokens_of_a_user_are_plain_characters(model):
    ours = model.tokenize("<|im_end|>", special=True)
    theirs = model.tokenize("<|im_end|>")
    assert len(ours) == 1 and len(theirs) > 1 and ours[0] not in theirs


def test_a_text_that_does_not_fit_states_the_limit(model, prefix):
    before = choose(model, prefix, "Is ice warm?", ["Yes", "No"])
    with pytest.raises(InputError, match=str(model.context)), open_session(model, prefix) as session:
        session.read("word " * model.context)
        session.choose(["Yes", "No"])
    assert choose(model, prefix, "Is ice warm?", ["Yes", "No"]) == before


def test_reading_can_be_stopped_within_a_forward_pass(model, prefix):
    before = choose(model, prefix, "Is ice warm?", ["Yes", "No"])
    cancel = CancelToken()
    threading.Timer(0.5, cancel.set).start()
    began = time.perf_counter()
    with pytest.raises(Cancelled), open_session(model, prefix, cancel) as session:
        session.read("a long text about models " * 400)
        session.choose(["Yes", "No"])
    assert time.perf_counter() - began < 1.5
    assert choose(model, prefix, "Is ice warm?", ["Yes", "No"]) == before


def test_a_prefix_on_disk_gives_the_same_answer_and_a_damaged_one_is_rebuilt(store, tmp_path, prefix):
    from tunewise import Settings

    path = store.resolve(Settings.load().model)
    answers, times = [], []
    for damage in (False, False, True):
        if damage:
            (file,) = tmp_path.glob("*.prefix")
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(bytes(data))
        small = LocalModel(path, fingerprint="test", context=2048, prefixes=tmp_path)
        began = time.perf_counter()
        answers.append(choose(small, small.prefix(MESSAGES), "Is ice warm?", ["Yes", "No"]))
        times.append(time.perf_counter() - began)
        small.close()
    assert answers[0] == answers[1] == answers[2]
    assert len(list(tmp_path.glob("*.prefix"))) == 1
    assert not list(tmp_path.glob("*.partial"))


def test_a_folder_that_cannot_be_written_costs_speed_only(store, tmp_path):
    from tunewise import Settings

    (tmp_path / "file").write_text("")
    path = store.resolve(Settings.load().model)
    small = LocalModel(path, fingerprint="test", context=2048, prefixes=tmp_path / "file" / "prefixes")
    choice = choose(small, small.prefix(MESSAGES), "Is ice warm?", ["Yes", "No"])
    assert sum(choice.probabilities) == pytest.approx(1.0)
    small.close()


def test_waiting_threads_are_served_in_order():
    lock, order = FairLock(), []

    def work(number):
        with lock.hold(CancelToken()):
            order.append(number)

    with lock.hold(CancelToken()):
        threads = []
        for number in range(6):
            thread = threading.Thread(target=work, args=(number,))
            thread.start()
            threads.append(thread)
            while lock.waiting <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == list(range(6))


def test_one_who_stops_waiting_holds_nobody_up():
    lock, cancel, failed = FairLock(), CancelToken(), []

    def wait():
        try:
            with lock.hold(cancel):
                pass
        except Cancelled:
            failed.append(True)

    with lock.hold(CancelToken()):
        thread = threading.Thread(target=wait)
        thread.start()
        while not lock.waiting:
            time.sleep(0.001)
        cancel.set()
        thread.join(2)
    assert failed == [True]
    with lock.hold(CancelToken()):
        pass


def test_ctrl_c_while_waiting_holds_nobody_up():
    class Interrupted(CancelToken):
        @property
        def is_set(self):
            raise KeyboardInterrupt

    lock = FairLock()
    with lock.hold(CancelToken()):
        with pytest.raises(KeyboardInterrupt), lock.hold(Interrupted()):
            pass
        assert lock.waiting == 0
    with lock.hold(CancelToken()):
        assert lock._held
    assert not lock._held

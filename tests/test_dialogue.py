import time

import pytest

from tunewise import dialogue
from tunewise.dialogue import Route
from tunewise.errors import InputError


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty"),
        (" \n\t ", "empty"),
        ("a" * 20_001, "characters"),
        ("\x00\x01\x02 binary \x03\x04", "not text"),
        ("%%% 123 $$$ ###", "no words"),
        ("xkcdqwrtz fghjklmnb qwrtpsdfg", "no words"),
        ("🙂🙂🙂", "no words"),
    ],
)
def test_unusable_messages_are_refused_with_a_reason(text, complaint):
    with pytest.raises(InputError, match=complaint) as caught:
        dialogue.check(text)
    assert caught.value.exit_code == 2
    assert caught.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "train or tune?",
        "我们有一万张标注图片，应该微调还是从头训练？",
        "हमारे पास 5000 लेबल की हुई तस्वीरें हैं",
        "Wir haben 300 Verträge und wollen Klauseln finden.",
        "X-rays: 4000 labelled",
        "MLP vs CNN",
        "llm?",
        "naïve café résumé — “quotes” and … ellipses",
    ],
)
def test_usable_messages_pass_unchanged(text):
    assert dialogue.check(f"  {text}\n") == text


@pytest.mark.parametrize(
    "text",
    [
        "What does LoRA change?",
        "how much data does fine-tuning need",
        "Why do models forget?",
        "什么是LoRA？",
        "什么时候应该用RAG而不是微调？",
        "一个7B模型用QLoRA微调需要多少显存？",
        "LoRAとは何ですか？",
        "LoRA คืออะไร",
        "Was ist LoRA?",
        "Qu'est-ce que LoRA ?",
        "¿Qué es LoRA?",
        "Tell me what LoRA changes.",
        "Tell me about RAG",
        "Can you explain LoRA to me?",
        "Explain to me what RAG is",
    ],
)
def test_questions_about_the_subject_are_known(text):
    assert dialogue.route(text, 0.9) is Route.QUESTION


@pytest.mark.parametrize(
    "text",
    [
        "What should we do with our 4,000 labelled X-rays?",
        "is fine tuning worth it for us?",
        "We have 12 million rows of transactions with a fraud label.",
        "Wake word on a microcontroller with 128 kB of RAM, 40,000 recordings.",
        "4000张标注的胸部X光片应该怎么训练？",
        "没有什么标注数据，可以微调吗？",
        "我们应该用什么模型？",
        "画像は何もありません。どうすればいいですか？",
        "¿Cuántas imágenes necesito para esto?",
        "Tell me what to do with 4,000 labelled X-rays.",
        "Tell me whether to fine-tune on 400 labelled photos.",
        "Tell me what LoRA changes for our scans.",
        "Which model is best for me?",
        "Can you explain our options to me?",
    ],
)
def test_situations_are_judged(text):
    assert dialogue.route(text, 0.9) is Route.ADVICE


@pytest.mark.parametrize(
    "text", ["what is the weather in Paris", "Write me a poem about cats", "Who won the cup in 1998?"]
)
def test_other_messages_are_none_of_ours(text):
    assert dialogue.route(text, 0.15) is Route.OTHER


def test_a_bare_addition_belongs_to_the_situation():
    assert dialogue.route("and if we had 100,000 labels?", 0.1, follow_up=True) is Route.ADVICE
    assert dialogue.route("it must run offline, 400 of them", 0.1, follow_up=True) is Route.ADVICE


def test_every_turn_stands_in_the_merged_situation():
    turns = ["We have scans.", "Actually it is 400, not 4,000."]
    assert all(turn in dialogue.merge(turns) for turn in turns)


@pytest.mark.parametrize("figure", ["400", "40k", "~5000", "0", "5 TB", "$500", "2x H100", "10 ms"])
def test_a_bare_figure_says_something_only_once_something_was_said(figure):
    assert dialogue.check(figure, follow_up=True) == figure
    with pytest.raises(InputError, match="no words"):
        dialogue.check(figure)


def test_half_a_letter_is_replaced():
    assert dialogue.check("We sort mails \ud83d and letters \ud83d\ude00") == "We sort mails � and letters 😀"


@pytest.mark.parametrize("answer", ["CSV", "PDFs", "HTML", "csv", "jpgs"])
def test_an_answer_needs_no_vowel(answer):
    assert dialogue.check(answer, follow_up=True, asked=True) == answer


def test_an_answer_needs_letters_or_a_figure():
    with pytest.raises(InputError, match="no words"):
        dialogue.check("🙂", follow_up=True, asked=True)


@pytest.mark.parametrize("text", ["Great.", "ok", "Perfect", "so so", "super"])
def test_praise_answers_an_open_question(text):
    assert dialogue.courteous(text) and not dialogue.courteous(text, asked=True)


@pytest.mark.parametrize("text", ["Hello", "ok, thanks!", "I see, that helps", "vielen Dank", "great, bye", "谢谢"])
def test_thanks_answer_no_question(text):
    assert dialogue.courteous(text, asked=True)


@pytest.mark.parametrize("line", ["9" * 20_000, "1,234.5," * 2_500, "1,,2" * 5_000, "5" + " " * 19_999])
def test_a_long_line_of_figures_takes_no_time(line):
    start = time.perf_counter()
    assert dialogue.QUESTION.search(line) is None
    assert time.perf_counter() - start < 4


@pytest.mark.parametrize("words", ["that helps a lot ", "thanks so much ", "ok D ", "very good bye "])
def test_courtesy_without_end_takes_no_time(words):
    start = time.process_time()
    assert not dialogue.courteous(words * (3_000 // len(words)) + "x")
    assert dialogue.courteous("that helps a lot, thanks")
    assert time.process_time() - start < 4


@pytest.mark.parametrize("told", ["4000张照片", "4,000.张照片", "大约,4000 张照片"])
def test_a_number_of_things_tells_of_a_situation(told):
    assert dialogue.QUESTION.search(f"{told}怎么分类?") is None
    assert dialogue.QUESTION.search("7B模型和LoRA有什么区别?") is not None

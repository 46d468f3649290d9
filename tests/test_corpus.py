import json

import pytest

from tunewise import corpus
from tunewise.errors import CorpusError

HEADER = "---\ntitle: T\ntopic: t\nkind: topic\nchecked: 2026-11-23\n---\n\n"
SOURCE = "  Source: Someone 2024 <https://example.org/x> | verified | as of 2026-06\n"


def test_a_fact_is_read_with_its_source(tmp_path):
    (tmp_path / "t.md").write_text(f"{HEADER}- **F1** A fact.\n{SOURCE}")
    (fact,) = corpus.load(tmp_path).facts
    assert (fact.id, fact.text, fact.document, fact.topic) == ("F1", "A fact.", "t.md", "t")
    assert fact.sources[0].url == "https://example.org/x"
    assert fact.sources[0].as_of == "2026-06"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("- **F1** A fact.\n", "has no source"),
        (f"- **F1** A fact.\n{SOURCE}- **F1** Another.\n{SOURCE}", "stands in"),
        ("- **F1** A fact.\n  Source: someone\n", "cannot be read"),
        (f"- **no id** A fact.\n{SOURCE}", "proper id"),
        ("text only\n", "no facts"),
    ],
)
def test_a_malformed_file_is_named(tmp_path, body, complaint):
    (tmp_path / "t.md").write_text(HEADER + body)
    with pytest.raises(CorpusError, match=complaint):
        corpus.load(tmp_path)


@pytest.mark.parametrize("data", [b"no header", b"---\n- list\n---\nx", b"\xff\xfe\x00", b"---\ntitle: [\n---\n"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, data):
    (tmp_path / "t.md").write_bytes(data)
    with pytest.raises(CorpusError, match=r"t\.md"):
        corpus.load(tmp_path)


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ("topic: t\ntitle: a: b", "line 3: mapping values"),
        ("title:\ntopic: t\nkind: topic\nchecked: 2026-11-23", "lacks title"),
        (f"title: {'59:' * 200}59.5", "too large"),
        ("title: !!float ''", "not of the kind that its tag names"),
        ("title: !!bool 'T'", "not of the kind that its tag names"),
        ("title: !!timestamp 'T'", "not of the kind that its tag names"),
    ],
)
def test_a_wrong_front_matter_is_named_in_one_line(tmp_path, header, complaint):
    (tmp_path / "t.md").write_text(f"---\n{header}\n---\n\n- **F1** A fact.\n{SOURCE}")
    with pytest.raises(CorpusError, match=complaint) as caught:
        corpus.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_link_to_itself_is_named(tmp_path):
    (tmp_path / "a.md").symlink_to("a.md")
    with pytest.raises(CorpusError, match=r"a\.md cannot be read"):
        corpus.load(tmp_path)


def test_a_missing_folder_says_what_to_do(tmp_path):
    with pytest.raises(CorpusError) as caught:
        corpus.load(tmp_path / "absent")
    assert "TUNEWISE_KNOWLEDGE" in caught.value.remedy


def test_questions_of_a_fact_belong_to_the_folder(tmp_path):
    (tmp_path / "t.md").write_text(f"{HEADER}- **F1** A fact.\n{SOURCE}")
    before = corpus.load(tmp_path)
    (tmp_path / corpus.QUESTIONS).write_text('{"id": "F1", "questions": ["what is so", "is it?"]}\n')
    after = corpus.load(tmp_path)
    assert after.questions == {"F1": ("what is so", "is it?")}
    assert before.digest != after.digest


def test_a_question_may_hold_the_separators_of_unicode(tmp_path):
    (tmp_path / "t.md").write_text(f"{HEADER}- **F1** A fact.\n{SOURCE}")
    asked = ("one\u2028line", "another\x85line")
    line = json.dumps({"id": "F1", "questions": asked}, ensure_ascii=False)
    (tmp_path / corpus.QUESTIONS).write_bytes(f"{line}\r\n".encode())
    assert corpus.load(tmp_path).questions == {"F1": asked}


@pytest.mark.parametrize("line", ['{"id": "F2", "questions": ["x"]}', '{"id": "F1"}', "no json", "\xff"])
def test_questions_that_cannot_be_read_are_named(tmp_path, line):
    (tmp_path / "t.md").write_text(f"{HEADER}- **F1** A fact.\n{SOURCE}")
    (tmp_path / corpus.QUESTIONS).write_bytes(line.encode("latin-1") + b"\n")
    with pytest.raises(CorpusError, match=r"questions\.jsonl") as caught:
        corpus.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_line_of_a_broken_question_is_named(tmp_path):
    (tmp_path / "t.md").write_text(f"{HEADER}- **F1** A fact.\n{SOURCE}")
    (tmp_path / corpus.QUESTIONS).write_text('{"id": "F1", "questions": []}\n\n{"id": "F1"}\n')
    with pytest.raises(CorpusError, match="line 3: questions: Field required"):
        corpus.load(tmp_path)

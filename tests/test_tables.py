"""Tables in and out: every format, rows that are broken, files that cannot be used."""

import sys

import pytest

from tunewise import tables
from tunewise.errors import InputError, UserError, WorkError
from tunewise.tables import Broken, read_table


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("a.jsonl", '{"situation": "one"}\n\n{"situation": "two"}\n', ["one", "two"]),
        ("a.txt", "one\n\ntwo\n", ["one", "two"]),
        ("a.csv", "\ufeffsituation;n\none;1\ntwo;2\n", ["one", "two"]),
        ("a.tsv", "n\tprompt\n1\tone\n", ["one"]),
        ("a.csv", 'only\n"a, ""b""\nc"\n', ['a, "b"\nc']),
        ("a.jsonl", '{"situation": "one"}\n{broken\n', ["one", ""]),
        ("a.jsonl", '{broken\n{"text": "one"}\n', ["", "one"]),
        ("a.jsonl", '{"text": "one\u2028line"}\n', ["one\u2028line"]),
        ("a.jsonl", '{"text": "cut \\ud83d"}\n', ["cut ?"]),
        ("a.csv", "situation\nWe have 4,000 X-rays, one GPU\n", ["We have 4,000 X-rays, one GPU"]),
        ("a.csv", 'id, text\n1, "We have 4,000 X-rays, one GPU"\n', ["We have 4,000 X-rays, one GPU"]),
        ("a.csv", "id,text\n1,We have X-rays, one GPU\n2,fine\n", ["", "fine"]),
        ("a.csv", "\nid;text\n1;one\n", ["one"]),
        ("a.tsv", "text\ta, b, c\none\t1\n", ["one"]),
        ("a.csv", 'text\n"Green thumbs" is our app, free\n"a ""b"""\n', ['"Green thumbs" is our app, free', 'a "b"']),
        ("a.csv", 'text\none "inch\n"open\n', ['one "inch', '"open']),
        ("a.csv", 'text\n"swallows\ntwo\nthree\n', ["", "two", "three"]),
        ("a.csv", 'id,text\n1,"Green" is our app\n2,fine\n', ["", "fine"]),
        ("a.csv", 'id,text\n1,"swallows\n2,"b, c"\n3,"one\nrow"\n', ["", "b, c", "one\nrow"]),
        ("a.csv", "id,text,,\n1,one,,\n2,two\n", ["one", "two"]),
        ("a.csv", "id,,text,,\n1,,We have X-rays, one GPU,\n2,,fine,,\n", ["", "fine"]),
    ],
)
def test_formats_are_read(tmp_path, name, content, texts):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    table = read_table(file)
    assert [table.text(place) for place in range(len(table.rows))] == texts


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "", "no rows"),
        ("a.csv", "a,b\n1,2\n", "no column"),
        ("a.csv", "id,note,note,text\n1,2,3,4\n", "two columns are called 'note'"),
        ("a.csv", ",a,,text\n1,2,3,4\n", "two columns have no name"),
        ("a.csv", ",,\n1,2,3\n", "names no column"),
        ("a.csv", 'id,"text" x\n1,2\n', "quotes of its header"),
        ("a.xls", "x", "ending"),
        ("a.parquet", "x", "cannot be read"),
        ("a.jsonl", "", "no rows"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path, name, content, words):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_table(file)


def test_outputs_that_would_harm_are_refused(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match="same file"):
        tables.check_output(file, file, overwrite=True)
    with pytest.raises(UserError, match="exists"):
        tables.check_output(tmp_path / "b.csv", file, overwrite=False)
    with pytest.raises(UserError, match="ending"):
        tables.check_output(file, tmp_path / "c.doc", overwrite=False)


def test_parquet_keeps_large_numbers_and_what_is_not_there(tmp_path):
    import pyarrow
    from pyarrow import parquet

    file, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    ids = [9007199254740993, None]
    parquet.write_table(pyarrow.table({"id": ids, "text": ["We sort mails", None], "mixed": ["1", "x"]}), file)
    table = read_table(file)
    assert [row["id"] for row in table.rows] == ids
    assert [table.text(place) for place in range(2)] == ["We sort mails", ""]
    tables.write(out, [dict(row, mixed=value) for row, value in zip(table.rows, (1, "x"), strict=True)])
    assert parquet.read_table(out).to_pydict() == {"id": ids, "text": ["We sort mails", None], "mixed": ["1", "x"]}


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([{}, None], ["{}", None]),
        ([{"é": 1}, [2]], ['{"é": 1}', "[2]"]),
        ([[1, "a"], None], ['[1, "a"]', None]),
        ([[1], ["a"]], ["[1]", '["a"]']),
        ([2**70, 1], [str(2**70), "1"]),
        ([2**60 + 1, 0.5], [str(2**60 + 1), "0.5"]),
        ([[1, 2], []], [[1, 2], []]),
        ([1, 0.5], [1.0, 0.5]),
    ],
)
def test_parquet_takes_every_value_that_json_can_hold(tmp_path, values, kept):
    from pyarrow import parquet

    tables.write(tmp_path / "out.parquet", [{"column": value} for value in values])
    assert parquet.read_table(tmp_path / "out.parquet").to_pydict() == {"column": kept}


def test_a_broken_row_says_which_line_and_keeps_its_fields(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('\nid,text\n1,"two\nlines"\n2,"Green" is our app\n3,fine\n', encoding="utf-8")
    table = read_table(file)
    assert [isinstance(row, Broken) for row in table.rows] == [False, True, False]
    assert table.columns == ["id", "text"]
    assert table.rows[1]["id"] == "2" and table.rows[1]["broken"].startswith("line 5 has quotes that do not match")


def test_columns_without_name_are_dropped_where_they_are_empty(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("id,,text,,\n1, ,one,,\n", encoding="utf-8")
    assert [dict(row) for row in read_table(file).rows] == [{"id": "1", "text": "one"}]
    file.write_text(",text\n7,one\n", encoding="utf-8")
    assert [dict(row) for row in read_table(file).rows] == [{"": "7", "text": "one"}]


def test_no_message_hands_a_header_to_the_terminal_as_it_is(tmp_path):
    file = tmp_path / "a.csv"
    for header in ("id,a\x1b[31m", "id,a\x1b[31m,a\x1b[31m"):
        file.write_text(f"{header}\n1,x,y\n", encoding="utf-8")
        with pytest.raises(InputError) as refused:
            read_table(file)
        assert "a�[31m" in str(refused.value) and str(refused.value).isprintable()


def test_a_table_knows_whether_a_limit_cut_it(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("one\ntwo\n", encoding="utf-8")
    assert [read_table(file, limit=limit).whole for limit in (None, 1, 2, 3)] == [True, False, True, True]


@pytest.mark.parametrize(
    ("number", "kind", "arguments"),
    [
        (-62135596800, "timestamp", ("s", "America/New_York")),
        (0, "timestamp", ("s", "Mars/Phobos")),
        (2**62, "duration", ("s",)),
        (2**30, "date32", ()),
    ],
)
def test_a_value_that_python_does_not_have_refuses_a_table_in_a_sentence(tmp_path, number, kind, arguments):
    import pyarrow
    from pyarrow import parquet

    when = pyarrow.array([number], getattr(pyarrow, kind)(*arguments))
    parquet.write_table(pyarrow.table({"text": ["one"], "when": when}), tmp_path / "a.parquet")
    for read in (read_table, tables.columns):
        with pytest.raises(InputError, match="its column 'when' holds a value"):
            read(tmp_path / "a.parquet")


def test_a_text_that_parquet_holds_as_bytes_is_a_text(tmp_path):
    import pyarrow
    from pyarrow import parquet

    file, content = tmp_path / "in.parquet", "We have 4,000 Röntgenbilder".encode()
    parquet.write_table(pyarrow.table({"text": [content, b"\xff"], "n": [1, 2]}), file)
    table = read_table(file)
    assert [table.text(0), table.text(1)] == [content.decode(), "�"]
    tables.write(tmp_path / "out.parquet", table.rows)
    assert parquet.read_table(tmp_path / "out.parquet").to_pydict()["text"] == [content, b"\xff"]
    for name in ("out.csv", "out.jsonl"):
        tables.write(tmp_path / name, table.rows)
        assert read_table(tmp_path / name).text(0) == content.decode()


def test_an_output_that_needs_a_missing_library_is_refused_before_a_row_is_judged(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(WorkError, match=r"pyarrow.*tunewise\[batch\]"):
        tables.check_output(tmp_path / "in.csv", tmp_path / "out.parquet", overwrite=False)
    tables.check_output(tmp_path / "in.csv", tmp_path / "out.csv", overwrite=False)

"""Forty broken files: each is refused by one DataError that says file, row, column and what, before anything else."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from promptkit.data import DataWarning, load_examples
from promptkit.data.rows import MAX_CELL
from promptkit.errors import DataError, PromptkitError
from promptkit.tasks.task import Task, load_task

GOOD = [{"id": f"g{n}", "question": f"What is {n} + 1?", "target": str(n + 1)} for n in range(8)]
WHOLE = (1, 0, 0)


def jsonl(*rows: object) -> bytes:
    return b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)


def among_good(*rows: object) -> bytes:
    """Good rows on lines 1 to 4 and after the bad ones, which so start on line 5."""
    return jsonl(*GOOD[:4], *rows, *GOOD[4:])


def row(**cells: object) -> dict[str, object]:
    return {"id": "bad", "question": "What?", "target": "x"} | cells


def csv(*lines: bytes) -> bytes:
    return b"question,target\n1 + 1?,2\n" + b"".join(lines) + b"2 + 2?,4\n"


# name of the file, its bytes, and what the message must say; row 5 is where the bad row stands
BAD_ROWS: dict[str, tuple[str, bytes, str]] = {
    "missing column": ("a.jsonl", among_good({"id": "bad", "target": "x"}), "row 5: column 'question' is missing"),
    "missing target": ("a.jsonl", among_good({"question": "What?"}), "row 5: column 'target' is missing"),
    "null field": ("a.jsonl", among_good(row(question=None)), "row 5: question must be text or a number, got None"),
    "null target": ("a.jsonl", among_good(row(target=None)), "row 5: target must be text, a number or a list of these, got None"),
    "null in a list": ("a.jsonl", among_good(row(target=["x", None])), "row 5: target must be text, a number or a list of these, got None"),
    "bool target": ("a.jsonl", among_good(row(target=True)), "row 5: target must be text, a number or a list of these, got True"),
    "bool field": ("a.jsonl", among_good(row(question=False)), "row 5: question must be text or a number, got False"),
    "nested target": ("a.jsonl", among_good(row(target={"a": 1})), "row 5: target must be text, a number or a list of these, got {"),
    "list in a list": ("a.jsonl", among_good(row(target=[["x"]])), "row 5: target must be text, a number or a list of these, got ["),
    "list as a field": ("a.jsonl", among_good(row(question=["a"])), "row 5: question must be text or a number, got ["),
    "empty list": ("a.jsonl", among_good(row(target=[])), "row 5: target must be not empty, got []"),
    "empty field": ("a.jsonl", among_good(row(question="")), "row 5: question must be not empty, got ''"),
    "blank field": ("a.jsonl", among_good(row(question=" \n\t")), "row 5: question must be not empty"),
    "empty target": ("a.jsonl", among_good(row(target="  ")), "row 5: target must be not empty"),
    "empty in a list": ("a.jsonl", among_good(row(target=["x", ""])), "row 5: target must be not empty, got ''"),
    "wrong rationale": ("a.jsonl", among_good(row(rationale=["because"])), "row 5: rationale must be text or a number, got ["),
    "wrong id": ("a.jsonl", among_good(row(id={"n": 1})), "row 5: id must be text or a number, got {"),
    "duplicated id": ("a.jsonl", among_good(row(id="g2")), "row 5: id must be unique, got 'g2'; row 3 has it"),
    "unknown column": ("a.jsonl", among_good(row(extra="?")), "row 5: column 'extra' does not stand in the first row"),
    "huge cell": ("a.jsonl", among_good(row(question="x" * (MAX_CELL + 1))), "row 5: question must be at most 1000000 characters, got 1000001"),
    "50 MB cell": ("a.jsonl", among_good(row(question="x" * 50_000_000)), "row 5: a line must be at most 8000000 characters, got more"),
    "lone surrogate": ("a.jsonl", among_good(rb'{"question": "\ud83d", "target": "x"}' + b"\n"), "row 5: question must be valid Unicode text in UTF-8, got 'lone surrogate U+D83D'"),
    "bad UTF-8": ("a.jsonl", among_good(b'{"question": "caf\xe9", "target": "x"}\n'), "row 5: text must be UTF-8, got byte 0xe9 at byte 18 of the line"),
    "cut line": ("a.jsonl", among_good(b'{"question": "What?", "tar\n'), "row 5: a row must be one JSON object, got malformed JSON: Unterminated string"),
    "single quotes": ("a.jsonl", among_good(b"{'question': 'What?', 'target': 'x'}\n"), "row 5: a row must be one JSON object, got malformed JSON"),
    "two rows in a line": ("a.jsonl", among_good(jsonl(row()).strip() + jsonl(row())), "row 5: a row must be one JSON object, got malformed JSON: Extra data"),
    "list as a row": ("a.jsonl", among_good(["What?", "x"]), "row 5: a row must be an object of named columns, got list"),
    "number as a row": ("a.jsonl", among_good(7), "row 5: a row must be an object of named columns, got str"),
    "not a number": ("a.jsonl", among_good(b'{"question": "What?", "target": NaN}\n'), "row 5: numbers must be finite, got NaN"),
    "deep nesting": ("a.jsonl", among_good(b'{"question": ' + b"[" * 100_000 + b"\n"), "row 5: a row must be a flat JSON object, got one nested too deeply"),
    "key twice": ("a.jsonl", among_good(b'{"question": "a", "question": "b", "target": "x"}\n'), "row 5: column 'question' must stand once in a row, got it 2 times"),
    "short CSV row": ("a.csv", csv(b"only one cell\n"), "row 3: a row must have 2 cells as the header has, got 1"),
    "long CSV row": ("a.csv", csv(b"1, 2, and 3?,6\n"), "row 3: a row must have 2 cells as the header has, got 4"),
    "empty CSV cell": ("a.csv", csv(b",4\n"), "row 3: question must be not empty"),
    "open quote in CSV": ("a.csv", csv(b'"never closed,4\n'), "row 3: a row must be well-formed CSV, got: unexpected end of data"),
    "bad UTF-8 in CSV": ("a.csv", csv(b"caf\xe9,4\n"), "row 3: question must be valid Unicode text in UTF-8, got 'byte 0xe9'"),
    "huge cell in CSV": ("a.csv", csv(b"x" * (MAX_CELL + 1) + b",4\n"), "row 3: a row must be well-formed CSV, got: field larger than field limit (1000000)"),
    "null in columns": ("a.json", json.dumps({"question": ["a", "b"], "target": ["x", None]}).encode(), "row 2: target must be text"),
}  # fmt: skip

# files of which no row can be read
BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.jsonl", b"", "a.jsonl: rows must be at least 1, got 0"),
    "blank lines": ("a.jsonl", b"\n\r\n  \n", "a.jsonl: rows must be at least 1, got 0"),
    "only a header": ("a.csv", b"question,target\n", "a.csv: rows must be at least 1, got 0"),
    "other columns": ("a.jsonl", jsonl({"q": "What?", "a": "x"}), "a.jsonl: columns must be at least 'q', 'a', 'target', got ['q', 'a']; 'target' missing"),
    "UTF-16 without a mark": ("a.csv", csv().decode().encode("utf-16-le"), "a.csv: text must be UTF-8, got b'q\\x00u\\x00'; pass encoding='utf-16-le'"),
    "Latin-1 header": ("a.csv", b"quest\xe9on,target\n1,2\n", "a.csv: header must be UTF-8, got ['quest\\udce9on', 'target']; pass the encoding of the file"),
    "semicolons": ("a.csv", b"question;target\n1;2\n", "a.csv: header must be separated by ',', got 'question;target'; the file looks semicolon-separated: pass delimiter=';' (--delimiter semicolon)"),
    "tabs": ("a.csv", b"question\ttarget\n1\t2\n", "a.csv: header must be separated by ',', got 'question\\ttarget'; the file looks tab-separated"),
    "pipes": ("a.tsv", b"question|target\n1|2\n", "a.tsv: header must be separated by '\\t', got 'question|target'; the file looks pipe-separated"),
    "commas in .tsv": ("a.tsv", b"question,target\n1,2\n", "a.tsv: header must be separated by '\\t', got 'question,target'; the file looks comma-separated"),
    "semicolons and a comma": ("a.csv", b"question;target;note, or so\n1;2;3, 4\n", "got ['question;target;note', 'or so']; the file looks semicolon-separated: pass delimiter=';'"),
    "index of pandas": ("a.csv", b",question,target\n0,1,2\n", "a.csv: header must be different names, none empty, got ['', 'question', 'target']; the first line of the file names its columns, and an index that pandas wrote has no name"),
    "header twice": ("a.csv", b"question,question\n1,2\n", "a.csv: header must be different names, none empty"),
    "nameless column": ("a.csv", b"question,,target\n1,2,3\n", "a.csv: header must be different names, none empty"),
    "columns of two lengths": ("a.json", b'{"question": ["a", "b"], "target": ["x"]}', "a.json: columns must be equally long, got {'question': 2, 'target': 1}"),
    "JSON scalar": ("a.json", b"3", "a.json: content must be a list of objects, or an object of equally long columns"),
    "cut JSON": ("a.json", b'[{"question": "a"', "a.json: a row must be one JSON object, got malformed JSON"),
    "bad UTF-8 in JSON": ("a.json", b'[{"question": "\xe9"}]', "a.json: text must be UTF-8"),
    "not gzip": ("a.jsonl.gz", jsonl(*GOOD), "a.jsonl.gz: cannot be read: Not a gzipped file"),
    "cut gzip": ("a.jsonl.gz", gzip.compress(jsonl(*GOOD))[:-20], "a.jsonl.gz: cannot be read"),
    "unknown suffix": ("a.parquet", b"PAR1", "a.parquet: suffix must be one of '.jsonl'"),
    "Excel": ("a.xlsx", b"PK", "or one of these followed by '.gz', got '.xlsx'; give the object instead, as pandas.read_excel(path)"),
    "all rows bad": ("a.jsonl", jsonl(row(target=None), row(target=True)), "2 of 2 rows cannot be used; not one row is usable"),
}  # fmt: skip


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_there_are_at_least_forty() -> None:
    assert len(BAD_ROWS) + len(BAD_FILES) >= 40


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_refused_with_its_place_and_reason(case: str, tmp_path: Path) -> None:
    name, content, says = BAD_ROWS[case]
    with pytest.raises(DataError) as caught:
        load_examples(write(tmp_path, name, content), split=WHOLE)
    text = str(caught.value)
    assert f"{name} {says}" in text and "rows cannot be used" in text
    assert len(text) < 2000


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_can_be_left_out(case: str, tmp_path: Path) -> None:
    name, content, says = BAD_ROWS[case]
    path, rejects = write(tmp_path, name, content), tmp_path / "rejects.jsonl"
    with pytest.warns(DataWarning, match=r"1 of \d rows are bad and left out, listed in .*rejects.jsonl"):
        data = load_examples(path, split=WHOLE, skip_bad=True, rejects=rejects)
    assert data.rejected == 1 and "1 bad rows left out" in str(data)
    kept = {".jsonl": 8, ".csv": 2, ".json": 1}[path.suffix]
    assert len(data.train) == kept
    (reject,) = map(json.loads, rejects.read_text().splitlines())
    assert says == f"row {reject['row']}: {reject['reason']}"[: len(says)] and reject["file"] == str(path)


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_even_if_bad_rows_may_be_left_out(case: str, skip_bad: bool, tmp_path: Path) -> None:
    name, content, says = BAD_FILES[case]
    with pytest.raises(DataError) as caught:
        load_examples(write(tmp_path, name, content), split=WHOLE, skip_bad=skip_bad)
    assert says in str(caught.value)


def test_the_good_rows_alone_are_accepted(tmp_path: Path) -> None:
    """The twin of every case above: the same files without the planted fault."""
    assert len(load_examples(write(tmp_path, "a.jsonl", among_good()), split=WHOLE).train) == 8
    assert len(load_examples(write(tmp_path, "a.csv", csv()), split=WHOLE).train) == 2
    assert (
        len(load_examples(write(tmp_path, "a.jsonl", among_good(row(question="x" * MAX_CELL))), split=WHOLE).train) == 9
    )


def test_all_bad_rows_are_told_at_once_the_first_ten_in_full(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", among_good(*(row(id=f"b{n}", target=None) for n in range(30))))
    rejects = tmp_path / "rejects.jsonl"
    with pytest.raises(DataError) as caught:
        load_examples(path, split=WHOLE, rejects=rejects)
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        "30 of 38 rows cannot be used; correct them, or leave them out in Python by load_examples(..., skip_bad=True, rejects=PATH), which lists them in that file"
    )
    assert [f"row {n}:" in line for n, line in enumerate(lines[1:11], 5)] == [True] * 10
    assert lines[11:] == ["  ... and 20 more"]
    assert len(rejects.read_text().splitlines()) == 30


def test_every_fault_of_a_row_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", among_good(row(question=None, target=[])))
    with pytest.raises(DataError, match="1 of 9 rows") as caught:
        load_examples(path, split=WHOLE)
    assert "row 5: question must" in str(caught.value) and "row 5: target must" in str(caught.value)


def test_bad_rows_of_all_files_of_a_folder_are_told_together(tmp_path: Path) -> None:
    write(tmp_path, "train.jsonl", among_good(row(target=None)))
    write(tmp_path, "test.csv", csv(b",4\n"))
    with pytest.raises(DataError, match="2 of 12 rows") as caught:
        load_examples(tmp_path)
    assert "train.jsonl row 5" in str(caught.value) and "test.csv row 3" in str(caught.value)


def test_a_split_that_is_bad_throughout_is_refused_even_if_others_are_good(tmp_path: Path) -> None:
    write(tmp_path, "train.jsonl", among_good())
    write(tmp_path, "test.jsonl", jsonl(row(target=None)))
    with pytest.raises(DataError, match="not one row is usable"):
        load_examples(tmp_path, skip_bad=True)


def test_a_target_that_is_no_label_of_the_task_is_refused(tmp_path: Path) -> None:
    task = label_task()
    rows = [{"message": f"message {n}", "target": task.labels[n % 2]} for n in range(4)]
    rows[2]["target"] = task.labels[0].upper()
    path = write(tmp_path, "a.jsonl", jsonl(*rows))
    with pytest.raises(DataError, match=f"row 3: target must be one of .*, got {task.labels[0].upper()!r}"):
        load_examples(path, task=task, split=WHOLE)
    rows[2]["target"] = task.labels[0]
    assert len(load_examples(write(tmp_path, "a.jsonl", jsonl(*rows)), task=task, split=WHOLE).train) == 4


def label_task() -> Task:
    task = load_task("tickets")
    assert task.labels and task.fields == ("message",)
    return task


def test_rejects_that_cannot_be_written_are_a_typed_error(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", among_good(row(target=None)))
    with pytest.raises(DataError, match="the rejected rows cannot be written"):
        load_examples(path, skip_bad=True, rejects=tmp_path / "no" / "folder.jsonl", split=WHOLE)
    with pytest.raises(PromptkitError, match="rejects must be another file than the source"):
        load_examples(path, skip_bad=True, rejects=path, split=WHOLE)
    assert path.read_bytes() == among_good(row(target=None))

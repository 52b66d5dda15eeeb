"""Rows in forms that other programs write: delimiters, encodings, quotes, frames, class labels, names of columns."""

from __future__ import annotations

import codecs
import csv
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptkit.data import Data, DataWarning, load_examples
from promptkit.data.csv_rows import read_csv
from promptkit.errors import DataError, SettingError, TaskError
from promptkit.tasks.create import new_task
from promptkit.tasks.task import Task, load_task

WHOLE = (1, 0, 0)


def load(source: object, **settings: Any) -> Data:
    return load_examples(source, split=WHOLE, on_leakage="ignore", **settings)


def pairs(data: Data) -> list[tuple[str, ...]]:
    return [(next(iter(row.query.fields.values())), *row.targets) for row in data.train]


def write(folder: Path, text: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# --- delimiters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "semicolon", "tab", "pipe", "\\t", "^"])
def test_other_delimiters(delimiter: str, tmp_path: Path) -> None:
    sign = {"semicolon": ";", "tab": "\t", "pipe": "|", "\\t": "\t"}.get(delimiter, delimiter)
    path = write(tmp_path, f'question{sign}target\n1,5 and 2?{sign}"3,5"\n"a{sign}b"{sign}c\n')
    assert pairs(load(path, delimiter=delimiter)) == [("1,5 and 2?", "3,5"), (f"a{sign}b", "c")]


@pytest.mark.parametrize("delimiter", ["", ";;", "a", '"', "\n", "semi"])
def test_what_is_no_delimiter_is_refused(delimiter: str, tmp_path: Path) -> None:
    path = write(tmp_path, "question;target\na;b\n")
    with pytest.raises(SettingError, match="load_examples: delimiter must be one character such as ',' or ';'"):
        load(path, delimiter=delimiter)


def test_settings_that_would_be_ignored_are_refused(tmp_path: Path) -> None:
    rows = write(tmp_path, '{"question": "a", "target": "b"}', "a.jsonl")
    with pytest.raises(SettingError, match=r"delimiter must be left out where no file is \.csv or \.tsv"):
        load(rows, delimiter=";")
    for given_ in ({"delimiter": ";"}, {"encoding": "latin-1"}):
        with pytest.raises(SettingError, match="must be left out for a list"):
            load([{"question": "a", "target": "b"}], **given_)


# --- encodings -----------------------------------------------------------------------------------------------------

TEXT = "question,target\ncafé – 5 €?,naïve\n"
JSON = '{"question": "café – 5 €?", "target": "naïve"}\n'


@pytest.mark.parametrize(
    "encoding", ["cp1252", "utf-16-le", "utf-16-be", "utf-16", "utf-32", "utf-8", "utf-8-sig", "UTF8"]
)
@pytest.mark.parametrize(("text", "name"), [(TEXT, "a.csv"), (JSON, "a.jsonl"), (f"[{JSON}]", "a.json")])
def test_encodings_that_are_named(encoding: str, text: str, name: str, tmp_path: Path) -> None:
    path = write(tmp_path, text.encode(encoding), name)
    assert pairs(load(path, encoding=encoding)) == [("café – 5 €?", "naïve")]


@pytest.mark.parametrize(
    "mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF8]
)
@pytest.mark.parametrize(("text", "name"), [(TEXT, "a.csv"), (JSON, "a.jsonl"), (f"[{JSON}]", "a.json")])
def test_a_byte_order_mark_names_the_encoding(mark: bytes, text: str, name: str, tmp_path: Path) -> None:
    encoding = {2: "utf-16", 4: "utf-32", 3: "utf-8"}[len(mark)]
    order = {b"\xff": "-le", b"\xfe": "-be", b"\x00": "-be"}.get(mark[:1], "")
    path = write(tmp_path, mark + text.encode(encoding + order), name)
    assert pairs(load(path)) == [("café – 5 €?", "naïve")]
    if order:  # also where the name of the encoding says no more than the mark
        assert pairs(load(path, encoding=encoding + order)) == [("café – 5 €?", "naïve")]


@pytest.mark.parametrize(("text", "name"), [(TEXT, "a.csv"), (JSON, "a.jsonl"), (f"[{JSON}]", "a.json")])
def test_the_wrong_encoding_is_told_and_no_other_text_is_read(text: str, name: str, tmp_path: Path) -> None:
    latin = write(tmp_path, text.replace("–", "-").replace("€", "$").encode("latin-1"), name)
    with pytest.raises(
        DataError,
        match=r"must be (valid Unicode text in )?UTF-8, got(.|\n)*encoding='cp1252'|encoding='cp1252'(.|\n)*UTF-8, got",
    ):
        load(latin)
    with pytest.raises(DataError, match="must be ascii, got .*; pass the encoding of the file"):
        load(latin, encoding="ascii")
    with pytest.raises(DataError, match="text must be in the encoding latin-1, got 'UTF-8'; leave the encoding out"):
        load(write(tmp_path, text, f"utf8-{name}"), encoding="latin-1")
    assert "é" in pairs(load(latin, encoding="latin-1"))[0][0]  # the twin


@pytest.mark.parametrize("encoding", ["klingon", "base64", "hex", ""])
def test_what_is_no_encoding_is_refused(encoding: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="load_examples: encoding must be an encoding that Python knows"):
        load(write(tmp_path, TEXT), encoding=encoding)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends(end: str, tmp_path: Path) -> None:
    path = write(tmp_path, f'question,target{end}a,1{end}"b{end}c",2{end}')
    assert pairs(load(path)) == [("a", "1"), (f"b{end}c", "2")]
    assert [row.id for row in load(path).train] == ["row-2", "row-3"]
    rows = write(
        tmp_path, f'{{"question": "a", "target": "1"}}{end}{end}{{"question": "b", "target": "2"}}{end}', "a.jsonl"
    )
    assert pairs(load(rows)) == [("a", "1"), ("b", "2")]


def test_half_a_line_at_the_end_of_a_file_is_a_bad_row(tmp_path: Path) -> None:
    path = write(tmp_path, '{"question": "a", "target": "1"}\n{"question": "b", "ta', "a.jsonl")
    with pytest.raises(DataError, match="row 2: a row must be one JSON object"):
        load(path)
    with pytest.raises(DataError, match="row 3: a row must have 2 cells as the header has, got 1"):
        load(write(tmp_path, "question,target\na,1\nb"))


# --- quotes --------------------------------------------------------------------------------------------------------

OPEN = [
    ('"b,2', 3),  # swallows until the next quote
    ('b,"2', 3),
    ('"b, ""quoted,2', 3),
    ('"b","2', 3),
]


@pytest.mark.parametrize(("row", "line"), OPEN)
@pytest.mark.parametrize("after", ['c,3\nd,4\n"e",5\nf,6\n', "c,3\nd,4\ne,5\nf,6\n"])
def test_an_open_quote_swallows_no_rows(row: str, line: int, after: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"question,target\na,1\n{row}\n{after}")
    with pytest.raises(
        DataError, match=rf"1 of 6 rows .*\n.*a\.csv row {line}: .*the quote that opens on line {line} is not closed"
    ):
        load(path)
    with pytest.warns(DataWarning, match="1 of 6 rows are bad"):
        data = load(path, skip_bad=True)
    assert pairs(data) == [("a", "1"), ("c", "3"), ("d", "4"), ("e", "5"), ("f", "6")]
    assert data.rejected == 1


def test_the_line_of_the_open_quote_is_named_not_that_of_the_row(tmp_path: Path) -> None:
    path = write(tmp_path, 'question,target\n"one\ntwo","three\nb,2\nc,3\n')
    with pytest.raises(DataError, match="row 2: .*the quote that opens on line 3 is not closed"):
        load(path)
    with pytest.warns(DataWarning, match="1 of 3 rows"):
        assert pairs(load(path, skip_bad=True)) == [("b", "2"), ("c", "3")]


def test_two_open_quotes_that_look_like_a_cell_of_many_lines_are_told_of(tmp_path: Path) -> None:
    path = write(tmp_path, 'question,target\nx,"1\nb,2\nc,3\nd,"\ne,5\n')
    with pytest.warns(DataWarning, match="row 2: is one row of lines 2 to 5, and each of them reads like a row"):
        load(path)
    with warnings.catch_warnings():  # the twin: a text of several lines
        warnings.simplefilter("error")
        load(write(tmp_path, 'question,target\nx,"Dear all,\n\nthe thing, as you know, broke.\nBye"\ne,5\n'))


cells = st.text(st.sampled_from('a"\n\r,; '), max_size=8)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=6), st.sampled_from(",;"))
@settings(max_examples=200, deadline=None)
def test_what_a_csv_writer_wrote_is_read_as_it_was(rows: list[tuple[str, str]], delimiter: str) -> None:
    import io

    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("x", "y"), *rows])
    found = read_csv(lines(file.getvalue()), "rows", delimiter)
    assert [tuple(raw.values.values()) for raw in found] == rows and not any(raw.fault for raw in found)


@given(st.lists(st.text(st.sampled_from('ab",\n'), max_size=10), max_size=8))
@settings(max_examples=300, deadline=None)
def test_no_line_is_lost_whatever_quotes_stand_there(texts: list[str]) -> None:
    """Every line that is not blank belongs to one row or bad row, or to a cell of many lines."""
    found = read_csv(lines("x,y\n" + "\n".join(texts) + "\n"), "rows", ",")
    numbers = [raw.number for raw in found]
    assert numbers == sorted(set(numbers))
    assert all(raw.fault or len(raw.values) == 2 for raw in found)


def lines(text: str) -> Iterator[tuple[int, str]]:
    import io

    return ((number, line) for number, line in enumerate(io.StringIO(text, newline=""), 1))


# --- frames --------------------------------------------------------------------------------------------------------


def test_data_frames_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"question": ["a", "b", "c"], "target": pandas.Categorical(["x", "y", "x"])}, index=[7, 8, 9]
    )
    assert pairs(load(frame)) == [("a", "x"), ("b", "y"), ("c", "x")]
    assert pairs(load({"train": frame, "test": frame[:1]})) == pairs(load(frame))
    for dtype in ("int64", "Int64", "float32", "Float32", "float64"):
        cells = ["0.1", "2", "3.5"] if "loat" in dtype else ["1", "2", "3"]
        column = pandas.Series([float(cell) for cell in cells]).astype(dtype)
        expected = [str(float(cell)) if "loat" in dtype else cell for cell in cells]
        assert [row.target for row in load(frame.assign(target=column.values)).train] == expected


@pytest.mark.parametrize("missing", ["None", "NaN", "NA", "NaT"])
def test_a_missing_cell_of_a_frame_is_no_text(missing: str) -> None:
    pandas = pytest.importorskip("pandas")
    cell = {"None": None, "NaN": float("nan"), "NA": pandas.NA, "NaT": pandas.NaT}[missing]
    frame = pandas.DataFrame({"question": ["a", "b"], "target": pandas.Series(["x", cell], dtype=object)})
    with pytest.raises(DataError, match="row 2: target must be text, a number or a list of these, got None"):
        load(frame)


def test_whole_numbers_stay_whole_beside_a_missing_one() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"question": ["a", "b", "c"], "target": [1, None, 2]})
    assert str(frame["target"].dtype) == "float64"
    with pytest.warns(DataWarning, match="1 of 3 rows"):
        assert pairs(load(frame, skip_bad=True)) == [("a", "1"), ("c", "2")]
    frame = pandas.DataFrame({"question": ["a", "b", "c"], "target": [1.0, None, 2.5]})
    with pytest.warns(DataWarning):  # the twin: a column that is not of whole numbers
        assert pairs(load(frame, skip_bad=True)) == [("a", "1.0"), ("c", "2.5")]


def test_a_frame_with_unusable_columns_is_refused() -> None:
    pandas = pytest.importorskip("pandas")
    twice = pandas.DataFrame([["a", "b", "c"]], columns=["question", "target", "target"])
    with pytest.raises(DataError, match="DataFrame: columns must be different names, got"):
        load(twice)
    with pytest.raises(DataError, match="DataFrame: columns must be named by text, got 0; rename the columns"):
        load(pandas.DataFrame([["a", "b"]]))
    index = pandas.DataFrame({"Unnamed: 0": [0], "question": ["a"], "target": ["b"]})
    with pytest.raises(DataError, match=r"columns must be names of fields, got 'Unnamed: 0'; leave it out"):
        load(index)
    assert pairs(load(index, fields=["question"])) == [("a", "b")]  # the twin
    dates = pandas.DataFrame({"question": ["a"], "target": pandas.to_datetime(["2020-01-01"])})
    with pytest.raises(DataError, match="row 1: target must be text, a number or a list of these, got Timestamp"):
        load(dates)
    flags = pandas.DataFrame({"question": ["a"], "target": [True]})
    with pytest.raises(DataError, match="row 1: target must be text, a number or a list of these, got True"):
        load(flags)


def test_frames_of_the_shape_of_polars() -> None:
    class Series:
        def __init__(self, cells: list[object], dtype: str) -> None:
            self.cells, self.dtype = cells, dtype

        def to_list(self) -> list[object]:
            return self.cells

    class Frame:
        columns = ("question", "target")
        dtypes = ("String", "Float32")

        def __len__(self) -> int:
            return 2

        def __getitem__(self, name: str) -> Series:
            return Series(["a", "b"], "String") if name == "question" else Series([0.10000000149011612, 2.0], "Float32")

    class LazyFrame:
        def collect(self) -> Frame:
            return Frame()

    assert pairs(load(Frame())) == [("a", "0.1"), ("b", "2.0")]
    with pytest.raises(DataError, match=r"collect it first: frame.collect\(\)"):
        load(LazyFrame())


def test_tables_of_arrow() -> None:
    arrow = pytest.importorskip("pyarrow")
    from decimal import Decimal

    table = arrow.table(
        {
            "question": arrow.array(["a", "b"]).dictionary_encode(),
            "target": arrow.array([[0.1, 2.0], [0.3]], arrow.list_(arrow.float32())),
        }
    )
    assert pairs(load(table)) == [("a", "0.1", "2.0"), ("b", "0.3")]
    decimals = arrow.table({"question": ["a"], "target": arrow.array([Decimal("1.50")])})
    assert pairs(load(decimals)) == [("a", "1.50")]
    twice = arrow.Table.from_arrays([arrow.array(["a"])] * 2, names=["target", "target"])
    with pytest.raises(DataError, match="columns must be different names"):
        load(twice)


# --- data sets -----------------------------------------------------------------------------------------------------


def dataset(label: Any, cells: list[Any]) -> Any:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": label(datasets)})
    return datasets.Dataset.from_dict({"text": [f"t{n}" for n in range(len(cells))], "label": cells}, features=features)


def test_a_row_without_a_class_label_is_a_bad_row() -> None:
    rows = dataset(lambda datasets: datasets.ClassLabel(names=["neg", "pos"]), [1, -1, 0, None])
    with pytest.raises(
        DataError, match="row 2: label must be one of the 2 class labels, got -1; -1 says that the row has no"
    ):
        load(rows, target="label")
    with pytest.warns(DataWarning, match="2 of 4 rows"):
        data = load(rows, target="label", skip_bad=True)
    assert pairs(data) == [("t0", "pos"), ("t2", "neg")]


@pytest.mark.parametrize("kind", ["List", "Sequence"])
def test_lists_of_class_labels_are_lists_of_names(kind: str) -> None:
    def label(datasets: Any) -> Any:
        return getattr(datasets, kind)(datasets.ClassLabel(names=["neg", "pos"]))

    assert pairs(load(dataset(label, [[1, 0], [0]]), target="label")) == [("t0", "pos", "neg"), ("t1", "neg")]
    with pytest.raises(DataError, match="row 2: label must be one of the 2 class labels, got -1"):
        load(dataset(label, [[1, 0], [0, -1]]), target="label")


def test_narrow_floats_are_the_numbers_that_were_put_in() -> None:
    for kind, number in (("float32", "0.1"), ("float16", "0.1"), ("float64", "0.1")):
        rows = dataset(lambda datasets, kind=kind: datasets.Value(kind), [0.1, 2.0])
        assert pairs(load(rows, target="label")) == [("t0", number), ("t1", "2.0")]
    rows = dataset(lambda datasets: datasets.List(datasets.Value("float32")), [[0.1, 0.7]])
    assert pairs(load(rows, target="label")) == [("t0", "0.1", "0.7")]
    formatted = dataset(lambda datasets: datasets.Value("int64"), [3]).with_format("numpy")
    assert pairs(load(formatted, target="label")) == [("t0", "3")]


# --- names of columns ----------------------------------------------------------------------------------------------


def german(folder: Path) -> Task:
    path = new_task("hauptstadt", folder)
    text = (path / "task.yaml").read_text()
    settings = "data: {columns: {question: Frage, target: Antwort}, delimiter: semicolon, encoding: cp1252}\n"
    (path / "task.yaml").write_text(text + settings)
    for split in ("train", "dev", "test"):
        (path / "data" / f"{split}.jsonl").unlink()
        rows = f"Frage;Antwort\nHauptstadt für {split}?;Köln\nUnd, bitte, für {split} zwei?;Bonn\n"
        (path / "data" / f"{split}.csv").write_bytes(rows.encode("cp1252"))
    return load_task(path)


def test_a_task_file_says_how_its_rows_are_read(tmp_path: Path) -> None:
    task = german(tmp_path)
    data = load_examples(tmp_path / "hauptstadt", on_leakage="ignore")
    assert pairs(data) == [("Hauptstadt für train?", "Köln"), ("Und, bitte, für train zwei?", "Bonn")]
    assert list(data.train[0].query.fields) == ["question"]
    other = write(tmp_path, "question;target\na;b\n")  # a source that has the names of the fields
    assert pairs(load(other, task=task)) == [("a", "b")]
    own = write(tmp_path, "F,target\nä,b\n")  # what is passed goes before the task's
    assert pairs(load(own, task=task, delimiter=",", encoding="utf-8", columns={"question": "F"})) == [("ä", "b")]
    assert Task.model_validate_json(task.model_dump_json()) == task


def test_a_task_without_such_settings_is_saved_as_before() -> None:
    assert "data" not in load_task("apples").model_dump() and '"data"' not in load_task("apples").model_dump_json()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{delimiter: ';;'}", "task.yaml: data.delimiter: must be one character"),
        ("{encoding: klingon}", "task.yaml: data.encoding: must be an encoding that Python knows"),
        ("{colums: {}}", "data.colums"),
        ("[a]", "data"),
    ],
)
def test_wrong_settings_in_a_task_file_are_refused(settings: str, message: str, tmp_path: Path) -> None:
    path = new_task("capitals", tmp_path) / "task.yaml"
    path.write_text(path.read_text() + f"data: {settings}\n")
    with pytest.raises(TaskError, match=message):
        load_task(path.parent)


def test_columns_the_wrong_way_round_are_explained() -> None:
    with pytest.raises(SettingError, match=r"got 'q'; the field goes first: columns=\{'question': 'q'\}"):
        load([{"q": "a", "target": "b"}], task=load_task("apples"), columns={"q": "question"})
    with pytest.raises(SettingError, match="load_examples: columns must be"):
        load([{"q": "a", "target": "b"}], columns="question=q")


# --- names of sources ----------------------------------------------------------------------------------------------


def test_a_bare_name_never_shadows_a_local_domain_or_folder_of_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tickets").mkdir()
    assert load_examples("tickets").task == "tickets"  # the twin: an empty folder is no source
    write(tmp_path / "tickets", "question,target\na,b\n", "train.csv")
    with pytest.raises(
        TaskError, match=r"'tickets' is both a shipped task .* and a local folder; write \./tickets for"
    ):
        load_examples("tickets")
    assert pairs(load("./tickets")) == [("a", "b")]
    new_task("tone", tmp_path)
    with pytest.raises(TaskError, match=r"load_examples: 'tone' is both a shipped task"):
        load_examples("tone")
    assert list(load_examples("./tone").train[0].query.fields) == ["question"]

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptkit.data import Data, DataWarning, load_examples
from promptkit.errors import DataError, LeakageError, SettingError, TaskError
from promptkit.tasks.task import list_tasks, load_task, templates_root

WHOLE = (1, 0, 0)
ROWS: list[dict[str, Any]] = [{"question": f"What is {n} + 1?", "target": str(n + 1)} for n in range(20)]


def texts(data: Data) -> list[tuple[str, ...]]:
    return [(row.query.fields["question"], *row.targets) for row in data.train]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# --- kinds of sources --------------------------------------------------------------------------------------------


def as_jsonl(folder: Path) -> object:
    return jsonl(folder / "rows.jsonl", ROWS)


def as_windows_jsonl(folder: Path) -> object:
    path = folder / "rows.ndjson"
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(json.dumps(row).encode() for row in ROWS))
    return str(path)


def as_gzip(folder: Path) -> object:
    path = folder / "ROWS.JSONL.GZ"
    path.write_bytes(gzip.compress(b"\n\n".join(json.dumps(row).encode() for row in ROWS)))
    return path


def as_csv(folder: Path) -> object:
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, ["question", "target"])
        writer.writeheader()
        writer.writerows(ROWS)
    return folder / "rows.csv"


def as_tsv(folder: Path) -> object:
    lines = ["question\ttarget", *(f"{row['question']}\t{row['target']}" for row in ROWS)]
    (folder / "rows.tsv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "rows.tsv"


def as_json(folder: Path) -> object:
    (folder / "rows.json").write_text(json.dumps(ROWS), encoding="utf-8-sig")
    return folder / "rows.json"


def as_json_columns(folder: Path) -> object:
    (folder / "rows.json").write_text(json.dumps(as_columns(folder)), encoding="utf-8")
    return folder / "rows.json"


def as_list(folder: Path) -> object:
    return ROWS


def as_columns(folder: Path) -> Mapping[str, list[str]]:
    return {name: [row[name] for row in ROWS] for name in ("question", "target")}


def as_dataset(folder: Path) -> object:
    return pytest.importorskip("datasets").Dataset.from_list(ROWS)


SOURCES = [
    as_jsonl, as_windows_jsonl, as_gzip, as_csv, as_tsv, as_json, as_json_columns, as_list, as_columns, as_dataset
]  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_every_kind_of_source_gives_the_same_examples(source: Any, tmp_path: Path) -> None:
    data = load_examples(source(tmp_path), split=WHOLE)
    assert texts(data) == [(row["question"], row["target"]) for row in ROWS]
    divided = load_examples(source(tmp_path), seed=3)
    assert [row.query.key for row in divided.test] == [row.query.key for row in load_examples(ROWS, seed=3).test]


@pytest.mark.parametrize("name", ["apples", "tickets"])
def test_a_domain_brings_task_and_splits(name: str) -> None:
    data = load_examples(name)
    assert data.name == data.task == name
    assert all(len(split) >= 150 and split.name == known for known, split in data.splits.items())
    assert set(data.train[0].query.fields) == set(load_task(name).fields)
    by_folder = load_examples(templates_root() / name)
    assert by_folder.splits == data.splits and by_folder.task == name


@pytest.mark.parametrize("name", list_tasks())
def test_shipped_domains_are_free_of_leakage_and_repeats(name: str) -> None:
    data = load_examples(name, on_leakage="raise")
    assert not data.leakage and set(data.leakage.repeats.values()) == {0}


def test_a_folder_of_files_named_after_splits(tmp_path: Path) -> None:
    jsonl(tmp_path / "train.jsonl", ROWS[:10])
    as_tsv(tmp_path)
    (tmp_path / "rows.tsv").rename(tmp_path / "Validation.tsv")
    (tmp_path / "notes.txt").write_text("not data")
    data = load_examples(tmp_path, on_leakage="ignore")
    assert [len(split) for split in data] == [10, 20, 0]
    assert data.train[2].id == "train-3" and data.dev[2].id == "dev-4"  # the header is line 1


def test_a_folder_is_refused_if_it_is_unclear_what_counts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"content must be a folder with files such as train, dev, test .*, got \[\]"):
        load_examples(tmp_path)
    jsonl(tmp_path / "train.jsonl", ROWS)
    (tmp_path / "train.csv").write_text("question,target\n1,2\n")
    with pytest.raises(DataError, match=r"train must be in one file, not train.csv and train.jsonl"):
        load_examples(tmp_path)
    (tmp_path / "train.csv").unlink()
    jsonl(tmp_path / "val.jsonl", ROWS)
    jsonl(tmp_path / "dev.jsonl", ROWS)
    with pytest.raises(DataError, match="splits must be one of each kind"):
        load_examples(tmp_path)


def test_mappings_of_splits() -> None:
    for source in ({"test": ROWS[:5], "train": ROWS[5:]}, {"train": ROWS[5:], "validation": ROWS[:5]}):
        data = load_examples(source)
        assert [len(split) for split in data] == ([15, 0, 5] if "test" in source else [15, 5, 0])
    assert [len(split) for split in load_examples({"train": ROWS})] == [12, 3, 5]  # divided like a single table
    assert [len(split) for split in load_examples({"test": ROWS})] == [0, 0, 20]


def test_datasets_objects_with_splits_and_class_labels() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    part = datasets.Dataset.from_dict({"text": ["fine", "awful", "nice"], "label": [1, 0, 1]}, features=features)
    other = datasets.Dataset.from_dict({"text": ["poor", "great"], "label": [0, 1]}, features=features)
    data = load_examples(datasets.DatasetDict({"train": part, "test": other}), target="label")
    assert [row.target for row in data.train] == ["good", "bad", "good"]
    assert [dict(row.query.fields) for row in data.test] == [{"text": "poor"}, {"text": "great"}]
    with pytest.raises(
        DataError, match=r"DatasetDict: splits must be named one of .*, got \['train', 'unsupervised'\]"
    ):
        load_examples(datasets.DatasetDict({"train": part, "unsupervised": other}), target="label")


@pytest.mark.parametrize("source", [None, 3, b"bytes", (row for row in ROWS), {1, 2}])
def test_other_objects_are_refused(source: object) -> None:
    with pytest.raises(
        DataError, match="load_examples: source must be a task, a path, a datasets object, a data frame, a list"
    ):
        load_examples(source)


@pytest.mark.parametrize("source", [[], {}, {"question": [], "target": []}])
def test_empty_objects_are_refused(source: object) -> None:
    with pytest.raises(DataError, match="rows must be at least 1, got 0"):
        load_examples(source)


def test_a_single_row_can_only_be_one_split() -> None:
    with pytest.raises(DataError, match="rows must be at least 3 different items to fill 3 splits, got 1"):
        load_examples(ROWS[:1])
    assert [len(split) for split in load_examples(ROWS[:1], split=(0, 0, 1))] == [0, 0, 1]


@pytest.mark.parametrize("name", ["no-such-task", "../apples", "apples/../apples2", "/nowhere", "apples\0", "", "."])
def test_names_that_are_no_domain_read_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError):
        load_examples(name)


def test_an_unknown_domain_is_told_which_there_are() -> None:
    with pytest.raises(
        DataError, match=r"source must be a task, a file or a folder that exists, got 'aples'.*'apples'"
    ):
        load_examples("aples")


def test_a_domain_cannot_lie_outside_the_folder_of_domains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    for folder in (outside, root / "inside"):
        (folder / "data").mkdir(parents=True)
        jsonl(folder / "data" / "train.jsonl", ROWS)
        (folder / "task.yaml").write_text("fields: [question]")
    (root / "linked").symlink_to(outside)
    task = load_task("apples")
    monkeypatch.setattr("promptkit.tasks.loading.templates_root", lambda: root)
    monkeypatch.chdir(tmp_path)
    assert len(load_examples("inside", task=task).train) == 12  # the twin: a folder that does lie inside
    with pytest.raises(TaskError, match="got 'linked'"):
        load_examples("linked", task=task)


def test_devices_are_never_read() -> None:
    with pytest.raises(DataError):
        load_examples(Path("/dev/zero"))


# --- columns -----------------------------------------------------------------------------------------------------


def test_columns_by_name() -> None:
    rows = [{"q": "What?", "a": 1, "why": "so", "key": 7, "more": "?"}]
    data = load_examples(
        rows, columns={"question": "q", "id": "key"}, fields=["question"], target="a", rationale="why", split=WHOLE
    )
    (example,) = data.train
    assert dict(example.query.fields) == {"question": "What?"}
    assert (example.targets, example.rationale, example.id) == (("1",), "so", "7")


def test_without_a_task_every_other_column_is_a_field() -> None:
    rows = [{"b": "1", "a": "2", "target": "x", "rationale": None, "id": ""}]
    (example,) = load_examples(rows, split=WHOLE).train
    assert example.query.fields == {"b": "1", "a": "2"} and list(example.query.fields) == ["b", "a"]
    assert example.rationale is None and example.id == "row-1"
    (renamed,) = load_examples(rows, columns={"first": "b"}, split=WHOLE).train
    assert renamed.query.fields == {"first": "1", "a": "2"}


def test_with_a_task_other_columns_are_left_out() -> None:
    rows = [{"question": "What?", "target": "1", "source": "book"}]
    (example,) = load_examples(rows, task=load_task("apples"), split=WHOLE).train
    assert example.query.fields == {"question": "What?"}


def test_missing_columns_are_named_with_a_suggestion() -> None:
    with pytest.raises(DataError) as caught:
        load_examples([{"q": "What?", "answer": "x"}], task=load_task("apples"))
    assert str(caught.value) == (
        "list: columns must be at least 'question', 'target', got ['q', 'answer']; 'question', 'target' missing; "
        'name them, for example columns={"question": "q", "target": "answer"}'
    )


def test_a_column_that_is_mapped_but_not_there_is_named() -> None:
    with pytest.raises(DataError, match=r"list: columns must be at least 'q', got \['question', 'target'\]"):
        load_examples(ROWS, columns={"question": "q"})


@pytest.mark.parametrize(
    ("settings_", "says"),
    [
        ({"fields": "question"}, "fields must be a list of field names, got 'question'"),
        ({"fields": ["target"]}, "fields must be none of target, rationale, id, got 'target'"),
        ({"fields": ["question"], "columns": {"qestion": "q"}}, "columns must be a mapping from one of 'question'"),
        ({"on_leakage": "explode"}, "on_leakage must be one of 'auto', 'warn', 'raise', 'ignore', got 'explode'"),
        ({"split": (1, 1, 1)}, "split must be three shares"),
    ],
)
def test_wrong_settings(settings_: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        load_examples(ROWS, **settings_)


# --- cells -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "targets"),
    [
        ('"5"', ("5",)),
        ("5", ("5",)),
        ("1.50", ("1.50",)),  # the text form of the file, not of a float
        ("1e3", ("1e3",)),
        ("-0", ("-0",)),
        ("9" * 5000, ("9" * 5000,)),
        ('["a", 5, "a", "b"]', ("a", "5", "b")),
        ('" padded "', (" padded ",)),
        ('"{{ braces }} {% raw %}"', ("{{ braces }} {% raw %}",)),
    ],
)
def test_targets(cell: str, targets: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"question": "What?", "target": {cell}}}\n')
    assert load_examples(path, split=WHOLE).train[0].targets == targets


@pytest.mark.parametrize(("cell", "target"), [(5, "5"), (0.5, "0.5"), (10**30, "1" + "0" * 30), (("a", 2), "a")])
def test_targets_of_objects(cell: object, target: str) -> None:
    assert load_examples([{"question": "What?", "target": cell}], split=WHOLE).train[0].target == target


@pytest.mark.parametrize(
    "cell", [float("nan"), float("inf"), pytest.param(10**5000, id="long"), [[10**5000]], b"x", {"a"}, object()]
)
def test_targets_of_objects_that_are_no_text(cell: object) -> None:
    with pytest.raises(DataError, match="list row 1: target must be"):
        load_examples([{"question": "What?", "target": cell}], split=WHOLE)


def test_numpy_cells() -> None:
    numpy = pytest.importorskip("numpy")
    rows = [{"question": "a", "target": numpy.int64(5)}, {"question": "b", "target": numpy.float32(0.1)}]
    assert [row.target for row in load_examples(rows, split=WHOLE).train] == ["5", "0.1"]
    with pytest.raises(DataError, match="row 1: target must be text"):
        load_examples([{"question": "a", "target": numpy.bool_(True)}], split=WHOLE)


unicode = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)


@given(st.lists(st.tuples(unicode, unicode), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_texts_come_through_files_unchanged(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    rows: list[dict[str, Any]] = [{"question": question, "target": target} for question, target in cells]
    plain = folder / "plain.jsonl"
    plain.write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    table = folder / "table.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["question", "target"], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    for source in (rows, plain, jsonl(folder / "escaped.jsonl", rows), table):
        assert texts(load_examples(source, split=WHOLE)) == cells


def test_csv_cells_hold_line_breaks_and_quotes_and_rows_are_numbered_by_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b'question,target\r\n"two\r\nlines, ""quoted""",1\r\n\r\n"",2\r\n')
    with pytest.raises(DataError, match="rows.csv row 5: question must be not empty"):
        load_examples(path, split=WHOLE)
    with pytest.warns(DataWarning):
        (row,) = load_examples(path, split=WHOLE, skip_bad=True).train
    assert row.query.fields["question"] == 'two\r\nlines, "quoted"' and row.id == "row-2"


def test_the_global_cell_limit_of_csv_is_left_as_it_was(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    load_examples(as_csv(tmp_path))
    assert csv.field_size_limit() == before


# --- leakage -----------------------------------------------------------------------------------------------------


def test_leakage_is_told_or_refused() -> None:
    source = {"train": ROWS[:10], "test": [*ROWS[10:], ROWS[3]]}
    with pytest.warns(DataWarning, match="items of one split stand in another"):
        data = load_examples(source, on_leakage="warn")
    assert data.leakage.overlap("test", "train").exact == 1 and "test in train          1" in str(data)
    with pytest.raises(LeakageError, match="remove them from one side, or pass on_leakage='warn'"):
        load_examples(source, on_leakage="raise")
    assert load_examples(source, on_leakage="ignore").leakage == data.leakage


def test_copies_of_training_items_among_the_test_items_are_refused_unless_forced() -> None:
    with pytest.raises(LeakageError, match="test in train          1"):
        load_examples({"train": ROWS[:10], "test": [*ROWS[10:], ROWS[3]]})
    with pytest.warns(DataWarning, match="dev in train           1"):  # choosing on known items is bad, but no score
        load_examples({"train": ROWS[:10], "dev": [ROWS[3]], "test": ROWS[10:]})


@pytest.mark.filterwarnings("error")
def test_clean_data_load_without_a_word() -> None:
    load_examples({"train": ROWS[:10], "test": ROWS[10:]}, on_leakage="raise")
    load_examples(ROWS + ROWS)  # repeats stay on one side


# --- real data ---------------------------------------------------------------------------------------------------

real = pytest.mark.skipif("PROMPTKIT_REAL_DATA" not in os.environ, reason="PROMPTKIT_REAL_DATA names no folder")


@real
def test_medical_questions_load() -> None:
    path = Path(os.environ["PROMPTKIT_REAL_DATA"]) / "domain" / "medquad_qa.jsonl.gz"
    data = load_examples(path, fields=["question"], target="answer", on_leakage="ignore")
    assert sum(map(len, data)) == 1800 and data.leakage.overlap("test", "train").exact == 0


@real
def test_the_finance_lines_as_rows_show_their_leakage() -> None:
    folder = Path(os.environ["PROMPTKIT_REAL_DATA"]) / "domain"
    parts = {
        name: [
            {"text": line.strip(), "target": "x"}
            for line in path.read_text(encoding="utf-8").split("\n")
            if line.strip()
        ]
        for name, path in (("train", folder / "proxima_train.txt"), ("test", folder / "proxima_test.txt"))
    }
    with pytest.raises(LeakageError):
        load_examples(parts, on_leakage="raise")
    leakage = load_examples(parts, on_leakage="ignore").leakage
    assert leakage.overlap("test", "train").exact == 6 and leakage.repeats == {"train": 11, "dev": 0, "test": 5}

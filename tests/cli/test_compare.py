"""``promptkit compare``, on saved reports and on saved predictors of a scripted model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import promptkit as pk

from .conftest import Run

Models = list[pk.ScriptedBackend]


@pytest.fixture
def reports(run: Run, task: str, model: Models, tmp_path: Path) -> str:
    """What eval prints for two numbers of shots."""
    outcome = run("eval", task, "--shots", "0,2", "--metric", "exact_match", "--json")
    assert outcome.code == 0, outcome.err
    (tmp_path / "reports.json").write_text(outcome.out, encoding="utf-8")
    model.clear()
    return str(tmp_path / "reports.json")


def save(folder: Path, task: str, shots: int) -> str:
    task, data = pk.load_task(task), pk.load_examples(task)
    pk.FewShot(task, shots=shots).fit(data.train, pk.LocalBackend("reference")).save(folder)
    return str(folder)


def test_compare_reads_what_eval_prints(run: Run, reports: str, model: Models) -> None:
    outcome = run("compare", reports)
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0] == "exact_match on 5 items, paired; differences from 'zero-shot'"
    assert lines[4].split()[:2] == ["zero-shot", "0.600"]
    assert lines[5].split()[:3] == ["2", "shots", "0.600"]
    assert lines[2].split()[-4:] == ["prompt", "generated", "ms", "failed"]
    assert "2 shots against zero-shot is undecided" in outcome.out
    assert model == []  # no model was loaded


def test_compare_says_the_same_as_the_library(run: Run, reports: str) -> None:
    options = ["--baseline", "2 shots", "--margin", "0.1", "--confidence", "0.9", "--seed", "4", "--pairs", "all"]
    found = json.loads(run("compare", reports, *options, "--json").out)
    from promptkit.evaluation import load_reports

    expected = pk.compare(load_reports(reports), baseline="2 shots", margin=0.1, confidence=0.9, seed=4, pairs="all")
    assert found == json.loads(expected.to_json())


def test_compare_scores_saved_predictors(run: Run, task: str, model: Models, tmp_path: Path) -> None:
    zero, two = (save(tmp_path / f"shots-{k}", task, k) for k in (0, 2))
    model.clear()
    outcome = run("compare", zero, f"more={two}", "--data", task, "--limit", "4", "--model", "reference", "--json")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert (list(found["arms"]), found["items"], found["baseline"]) == (["shots-0", "more"], 4, "shots-0")
    assert [backend.name for backend in model] == ["reference"]
    assert len(model[0].requests) == 8


def test_compare_tells_when_training_is_repaid(run: Run, reports: str) -> None:
    outcome = run("compare", reports, "--break-even", "--baseline", "2 shots", "--price-prompt", "1")
    assert outcome.code == 0, outcome.err
    assert "zero-shot instead of 2 shots\nin tokens: from the first request on" in outcome.out
    assert "in money: from the first request on" in outcome.out
    assert "nothing was trained" in outcome.out
    found = json.loads(run("compare", reports, "--break-even", "--json").out)["break_even"]["2 shots"]
    assert (found["unit"], found["never"]) == ("seconds", found["by"]["seconds"]["requests"] is None)


def test_two_files_and_names(run: Run, reports: str, tmp_path: Path) -> None:
    both = json.loads(Path(reports).read_text(encoding="utf-8"))
    for name, one in zip("ab", both, strict=True):
        (tmp_path / f"{name}.json").write_text(json.dumps([one]), encoding="utf-8")
    a, b = str(tmp_path / "a.json"), str(tmp_path / "b.json")
    assert list(json.loads(run("compare", a, b, "--json").out)["arms"]) == ["zero-shot", "2 shots"]
    assert list(json.loads(run("compare", f"x={a}", f"y={b}", "--json").out)["arms"]) == ["x", "y"]


def test_wrong_usage_is_named(run: Run, reports: str, task: str, tmp_path: Path) -> None:
    one = tmp_path / "one.json"
    one.write_text(json.dumps(json.loads(Path(reports).read_text(encoding="utf-8"))[:1]), encoding="utf-8")
    cases: list[tuple[list[str], int, str]] = [
        ([], 2, "[NAME=]PATH"),
        ([str(tmp_path / "no.json")], 1, "no.json: no such file or folder; give saved predictors or files of eval"),
        ([str(one)], 1, "arms must be a mapping of at least two names to arms, got ['zero-shot']"),
        (
            [str(one), str(one)],
            2,
            "names must be different for every arm; put NAME= before a path, got 'zero-shot' twice",
        ),
        ([f"x={reports}"], 2, "NAME must be left out"),
        ([reports, "--baseline", "x"], 1, "baseline must be one of 'zero-shot', '2 shots', got 'x'"),
        ([reports, "--metric", "rougeL"], 1, "metric must be one of 'exact_match', got 'rougeL'"),
        ([reports, "--margin", "-1"], 2, "--margin"),
        ([reports, "--confidence", "95"], 1, "confidence must be between 0 and 1, got 95.0"),
    ]
    for arguments, code, message in cases:
        outcome = run("compare", *arguments)
        assert (outcome.code, outcome.out) == (code, ""), arguments
        assert message in " ".join(outcome.err.replace("│", " ").split()), outcome.err


def test_no_model_library_is_loaded_for_reports(spawn: Run, reports: str) -> None:
    outcome = spawn("compare", reports, "--json", PYTHONPROFILEIMPORTTIME="1")
    assert outcome.code == 0
    assert " torch\n" not in outcome.err
    assert " numpy\n" in outcome.err


def test_compare_refuses_leaking_data_unless_forced(run: Run, task: str, model: Models, tmp_path: Path) -> None:
    zero, two = (save(tmp_path / f"shots-{k}", task, k) for k in (0, 2))
    known = [("What is the capital of Finland?", "Helsinki"), ("What is the capital of Norway?", "Oslo")]
    rows = "".join(json.dumps({"question": asked, "target": answer}) + "\n" for asked, answer in known)
    (tmp_path / "leaky").mkdir()
    for split in ("train", "test"):
        (tmp_path / "leaky" / f"{split}.jsonl").write_text(rows, encoding="utf-8")
    refused = run("compare", zero, two, "--data", str(tmp_path / "leaky"))
    assert refused.code == 1 and "--allow-leakage" in refused.err
    # The option that the message names must exist on the command that printed it.
    forced = run("compare", zero, two, "--data", str(tmp_path / "leaky"), "--allow-leakage")
    assert forced.code == 0, forced.err
    assert forced.err.startswith("warning: ")


def test_compare_and_eval_take_groups_of_a_column(run: Run, task: str, model: Models, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for source in Path(task, "data").glob("*.jsonl"):
        rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
        grouped = [{**row, "region": f"{source.stem} {place // 3}"} for place, row in enumerate(rows)]
        (data / source.name).write_text("".join(json.dumps(row) + "\n" for row in grouped), encoding="utf-8")
    options = ("--data", str(data), "--group", "region")
    outcome = run("eval", task, "--shots", "0,2", *options, "--json")
    assert outcome.code == 0, outcome.err
    assert [(one["groups"], one["rows"][0]["group"]) for one in json.loads(outcome.out)] == [(2, "test 0")] * 2
    (tmp_path / "grouped.json").write_text(outcome.out)
    assert "in 2 groups" in run("compare", str(tmp_path / "grouped.json")).out.splitlines()[0]
    assert "5 items each in 2 groups" in run("eval", task, "--shots", "0", *options).out
    saved = save(tmp_path / "saved", task, 0), save(tmp_path / "other", task, 2)
    assert json.loads(run("compare", *saved, *options, "--json").out)["groups"] == 2


def test_compare_groups_saved_reports_by_a_field_and_refuses_others(run: Run, reports: str) -> None:
    found = json.loads(run("compare", reports, "--group", "question", "--json").out)
    assert (found["groups"], found["notes"]) == (5, [])
    outcome = run("compare", reports, "--group", "document")
    assert outcome.code != 0
    assert "group must be one of 'id', 'question', got 'document'" in outcome.err

"""``promptkit predict`` and ``promptkit eval``, on a scripted model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import promptkit as pk

from .conftest import Run

Models = list[pk.ScriptedBackend]
QUESTION = "What is the capital of {}?"


def rows(*countries: str) -> str:
    return "".join(json.dumps({"id": one, "question": QUESTION.format(one), "target": "?"}) + "\n" for one in countries)


def test_predict_answers_a_file(run: Run, task: str, model: Models, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(rows("Finland", "Ireland"))
    outcome = run("predict", task, "--input", str(tmp_path / "in.jsonl"))
    assert outcome.code == 0, outcome.err
    assert [line.split() for line in outcome.out.splitlines()[2:]] == [["Finland", "Helsinki"], ["Ireland", "Dublin"]]
    assert outcome.err == ""
    assert [backend.name for backend in model] == ["reference"]
    assert len(model[0].requests) == 2


def test_predict_reads_objects_from_standard_input_and_prints_json_lines(run: Run, task: str, model: Models) -> None:
    outcome = run("predict", task, "--shots", "2", "--model", "mine", "--json", stdin=rows("Finland", "Cuba"))
    assert outcome.code == 0, outcome.err
    first, second = (json.loads(line) for line in outcome.out.splitlines())
    assert (first["id"], first["answer"], first["text"], first["shots"]) == ("Finland", "Helsinki", " Helsinki", 2)
    assert (second["id"], second["answer"], second["error"]) == ("Cuba", None, None)
    assert first["prompt_tokens"] > 0
    assert model[0].name == "mine"


def test_predict_takes_plain_lines_where_a_task_has_one_field(run: Run, task: str, model: Models) -> None:
    stdin = f"{QUESTION.format('Finland')}\n\n  {QUESTION.format('Senegal')}  \n"
    outcome = run("predict", task, "--shots", "0", "-i", "-", stdin=stdin)
    assert outcome.code == 0, outcome.err
    assert [line.split() for line in outcome.out.splitlines()[2:]] == [["row-1", "Helsinki"], ["row-3", "Dakar"]]


def test_predict_needs_objects_where_a_task_has_several_fields(run: Run, model: Models) -> None:
    outcome = run("predict", "products", stdin="What does it cost?\n")
    assert outcome.code == 1
    assert "standard input: 1 of 1 rows cannot be used: row 1: a row must be one JSON object" in outcome.err
    assert model == []


def test_predict_shows_an_answer_that_could_not_be_read_as_none(run: Run, task: str, model: Models) -> None:
    outcome = run("predict", task, stdin=rows("Cuba"))
    assert outcome.code == 0
    assert outcome.out.splitlines()[2].split(maxsplit=1) == ["Cuba", "no answer:"]


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        ("", "standard input: rows must be at least 1, got 0"),
        ('{"question": "a"}\n{"question": \n{"q": "b"}\n', "2 of 3 rows cannot be used: row 2: a row must be one JSON"),
        ('{"question": "a"}\n{"q": "b"}\n', "1 of 2 rows cannot be used: row 2: lacks the text of 'question'"),
        ('{"question": null}\n', "row 1: lacks the text of 'question'"),
        (b"\xff\n", "row 1: text must be UTF-8, got byte 0xff"),
        ('{"question": "  "}\n', "says nothing: every field is empty"),
        ('{"q": "b"}\n' * 12, "row 10: lacks the text of 'question'; and 2 more"),
    ],
)
def test_predict_names_bad_rows_before_a_model_is_loaded(
    run: Run, task: str, model: Models, stdin: str | bytes, message: str
) -> None:
    outcome = run("predict", task, stdin=stdin)
    assert (outcome.code, outcome.out, model) == (1, "", [])
    assert outcome.err.startswith("error: ")
    assert message in outcome.err


def test_predict_refuses_a_missing_file(run: Run, task: str, model: Models) -> None:
    outcome = run("predict", task, "--input", "nowhere.jsonl")
    assert (outcome.code, model) == (1, [])
    assert "nowhere.jsonl" in outcome.err


def test_predict_prints_what_it_has_and_fails_if_a_question_does_not_fit(run: Run, task: str, model: Models) -> None:
    long = json.dumps({"id": "long", "question": "word " * 5000})
    outcome = run("predict", task, "--json", stdin=rows("Finland") + long)
    assert outcome.code == 3  # more than a tenth, and not all
    first, second = (json.loads(line) for line in outcome.out.splitlines())
    assert first["answer"] == "Helsinki"
    assert "the question alone takes" in second["error"]
    assert outcome.err.startswith(
        "error: capitals, first 'long': 1 of 2 questions could not be answered\n  1 x query 'long'"
    )


def test_texts_of_a_model_do_not_steer_the_terminal(
    run: Run, task: str, model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(pk), "LocalBackend", lambda name: pk.ScriptedBackend([" \x1b[2J[bold]gone[/bold]"]))
    outcome = run("predict", task, stdin=rows("Peru"))
    assert outcome.code == 0, outcome.err
    assert r"\x1b[2J[bold]gone[/bold]" in outcome.out
    assert "\x1b" not in outcome.out


def test_a_saved_predictor_answers_and_is_scored(run: Run, task: str, model: Models, tmp_path: Path) -> None:
    data, saved = pk.load_examples(task), str(tmp_path / "saved")
    pk.FewShot(pk.load_task(task), shots=3).fit(data.train, pk.LocalBackend("reference")).save(saved)
    outcome = run("predict", task, "--adapter", saved, "--json", stdin=rows("Finland"))
    assert outcome.code == 0, outcome.err
    assert (json.loads(outcome.out)["answer"], json.loads(outcome.out)["shots"]) == ("Helsinki", 3)
    outcome = run("eval", task, "--adapter", saved, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)[0]["metrics"]["exact_match"]["mean"] == 0.6


def test_a_saved_predictor_of_another_task_is_refused(run: Run, task: str, model: Models, tmp_path: Path) -> None:
    saved = str(tmp_path / "saved")
    pk.FewShot(pk.load_task("apples"), shots=0).fit([], pk.LocalBackend("reference")).save(saved)
    outcome = run("eval", task, "--adapter", saved)
    assert outcome.code == 1
    assert outcome.err == f"error: {saved}: was fitted for task 'apples', not for 'capitals'\n"


def test_eval_prints_a_line_per_number_of_demonstrations_and_metric(run: Run, task: str, model: Models) -> None:
    outcome = run("eval", task, "--shots", "0,4", "--shots", "1")
    assert outcome.code == 0, outcome.err
    title, head, _, *lines = outcome.out.splitlines()
    assert title.startswith("reference: 5 items each; ")
    assert head.split()[:4] == ["task", "strategy", "metric", "mean"]
    cells = [line.split() for line in lines]
    assert cells[0][:4] == ["capitals", "zero-shot", "exact_match", "0.600"]
    assert cells[0][6] == "4/5"
    assert cells[1][:2] == ["rougeL", "0.600"]
    assert [cells[2][:2], cells[4][:2]] == [["4", "shots"], ["1", "shot"]]
    assert outcome.err == ""
    assert len(model) == 1


def test_eval_prints_everything_as_json(run: Run, task: str, model: Models) -> None:
    outcome = run("eval", task, "--shots", "2", "--metric", "rouge1", "--limit", "3", "--split", "dev", "--json")
    assert outcome.code == 0, outcome.err
    (report,) = json.loads(outcome.out)
    assert (report["task"], report["strategy"], report["model"]) == ("capitals", "2 shots", "reference")
    assert list(report["metrics"]) == ["rouge1"]
    assert report["metrics"]["rouge1"]["n"] == report["items"] == len(report["rows"]) == 3
    assert report["rows"][0]["id"] == "dev-1"


def test_eval_says_the_same_as_the_library(run: Run, task: str, model: Models) -> None:
    data = pk.load_examples(task)
    predictor = pk.FewShot(pk.load_task(task), shots=4, select="nearest").fit(
        data.train, pk.LocalBackend("x"), dev=data.dev, seed=3
    )
    report = pk.evaluate(predictor, data.test, seed=3)
    (printed,) = json.loads(run("eval", task, "--select", "nearest", "--seed", "3", "--json").out)
    assert printed["metrics"]["exact_match"]["low"] == report["exact_match"].low
    assert printed["cost"]["usage"]["prompt_tokens"] == report.cost.usage.prompt_tokens


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--shots", "4,x"], 2, "must be whole numbers such as 0,4,8"),
        (["--shots", "-1"], 2, "must be whole numbers such as 0,4,8"),
        (["--metric", "bleu"], 1, "bleu"),
        (["--data", "nowhere.csv"], 1, "nowhere.csv"),
        (["--answer-by", "likelihood"], 1, "answer_by must be 'generation' for a task without labels"),
        (["--shots", "99"], 1, "99"),
    ],
)
def test_eval_refuses_wrong_settings(
    run: Run, task: str, model: Models, arguments: list[str], code: int, message: str
) -> None:
    outcome = run("eval", task, *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err


def test_eval_scores_other_data_than_the_domain_has(run: Run, task: str, model: Models, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for split in ("train", "test"):
        (tmp_path / "other" / f"{split}.csv").write_text(
            f"question,target\n{QUESTION.format('Spain' if split == 'train' else 'Japan')},Tokyo\n"
        )
    outcome = run("eval", task, "--data", str(tmp_path / "other"), "--shots", "1", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)[0]["metrics"]["exact_match"]["mean"] == 1.0


@pytest.fixture
def voters(monkeypatch: pytest.MonkeyPatch) -> Models:
    """A model whose paths disagree: 5, 6, 5 by another route, 6 by the very same words."""
    paths = [f" {path}. The answer is {path[-1]}." for path in ("2 + 3 = 5", "2 * 3 = 6", "3 + 2 = 5", "2 * 3 = 6")]
    made: Models = []

    def make(name: str) -> pk.ScriptedBackend:
        made.append(pk.ScriptedBackend(paths, name=name, context_window=20_000))
        return made[-1]

    monkeypatch.setitem(vars(pk), "LocalBackend", make)
    return made


def test_predict_reasons_and_votes(run: Run, voters: Models) -> None:
    options = ["--shots", "2", "--samples", "4", "--vote", "distinct", "--stop", "beta", "--json"]
    outcome = run("predict", "apples", *options, stdin="How many?\n")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert (found["answer"], found["votes"], found["agreement"], found["tie"]) == ("5", {"5": 2, "6": 1}, 0.5, False)
    assert (found["samples_used"], found["shots"]) == (4, 2)
    outcome = run("predict", "apples", "--ask", "reasoned", "--json", stdin="How many?\n")
    assert (json.loads(outcome.out)["answer"], json.loads(outcome.out)["samples_used"]) == ("5", 1)


def test_eval_scores_reasoning_and_voting(run: Run, voters: Models) -> None:
    options = ["--limit", "2", "--shots", "0,2", "--json"]
    for more, names in (
        (["--ask", "reasoned"], ["zero-shot reasoned", "2 shots reasoned"]),
        (["--samples", "3"], ["zero-shot reasoned, vote of 3", "2 shots reasoned, vote of 3"]),
        (
            ["--samples", "6", "--stop", "window"],
            ["zero-shot reasoned, vote of 6 (window)", "2 shots reasoned, vote of 6 (window)"],
        ),
    ):
        outcome = run("eval", "apples", *options, *more)
        assert outcome.code == 0, outcome.err
        assert [report["strategy"] for report in json.loads(outcome.out)] == names
    assert json.loads(outcome.out)[0]["rows"][0]["samples_used"] == 6


def test_a_vote_cannot_go_by_likelihood(run: Run, voters: Models) -> None:
    outcome = run("eval", "tickets", "--samples", "3", "--answer-by", "likelihood")
    assert (outcome.code, voters) == (2, [])
    assert "--samples" in outcome.err and "must be 1 with --answer-by likelihood" in " ".join(outcome.err.split())


def test_eval_refuses_leaking_data_unless_forced(run: Run, task: str, model: Models, tmp_path: Path) -> None:
    folder = tmp_path / "leaky"
    folder.mkdir()
    (folder / "train.jsonl").write_text(rows("Finland", "Ireland").replace('"?"', '"x"'))
    (folder / "test.jsonl").write_text(rows("Finland", "Senegal").replace('"?"', '"x"'))
    refused = run("eval", task, "--data", str(folder), "--shots", "0")
    assert refused.code == 1 and "--allow-leakage" in refused.err and model == []
    assert run("eval", task, "--data", str(folder), "--shots", "0", "--allow-leakage").code == 0

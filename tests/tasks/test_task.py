from __future__ import annotations

import json
from pathlib import Path

import pydantic
import pytest

from promptkit.errors import TaskError, TemplateError
from promptkit.parsing.parser import AnswerParser
from promptkit.tasks.create import new_task
from promptkit.tasks.task import Task, build_task, examples_source, list_tasks, load_task, templates_root

DIRECT = "{% macro question(item) %}Question: {{ item.question }}\nAnswer:{% endmacro %}\n"
DIRECT += "{% macro answer(item) %} The answer is {{ item.target }}.{% endmacro %}\n"
REASONED = DIRECT.replace(" The answer", " {{ item.rationale }} The answer")
MARKED = {"kind": "marked", "marker": "The answer is", "then": "number"}
SETTINGS = {
    "description": "Word problems about counting things.",
    "instructions": ["Solve the problem.", "Work it out."],
    "fields": ["question"],
    "parsers": {"direct": MARKED, "reasoned": MARKED},
    "metric": "numeric_match",
    "metrics": ["exact_match", "numeric_match"],
    "max_new_tokens": {"direct": 16},
}


def write(folder: Path, task: dict | str = SETTINGS, **templates: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = task if isinstance(task, str) else json.dumps(task)  # JSON is YAML
    (folder / "task.yaml").write_text(text, encoding="utf-8")
    for ask, source in (templates or {"direct": DIRECT, "reasoned": REASONED}).items():
        (folder / f"{ask}.jinja").write_text(source, encoding="utf-8")
    return folder


def direct_only(**changes) -> dict:
    """The values of a task with one template, some of them changed."""
    values = {"name": "apples", "fields": ["question"], "parsers": {"direct": MARKED}, "templates": {"direct": DIRECT}}
    return {**values, **changes}


def build(**changes) -> Task:
    return build_task(direct_only(**changes), of="t")


def test_a_folder_becomes_a_task(tmp_path):
    task = load_task(write(tmp_path / "apples"))
    assert (task.name, task.fields, task.metric) == ("apples", ("question",), "numeric_match")
    assert task.metrics == ("exact_match", "numeric_match")
    assert task.templates == {"direct": DIRECT, "reasoned": REASONED}
    assert task.max_new_tokens == {"direct": 16, "reasoned": 256}
    assert (task.separator, task.stop) == ("\n\n", ("\n\n",))
    assert task.template("reasoned").answer({"question": ""}, "5", "So.") == " So. The answer is 5."
    assert isinstance(task.parser(), AnswerParser)
    assert task.parser("reasoned").read("The answer is 5.0. ") == "5"


def test_json_holds_all_of_a_task(tmp_path):
    task = load_task(write(tmp_path / "apples", {**SETTINGS, "glossary": {"dozen": "twelve"}, "stop": ["\n\n", "END"]}))
    again = Task.model_validate_json(task.model_dump_json())
    assert again == task
    assert build_task(json.loads(task.model_dump_json()), of="task.json") == task


def test_a_task_is_frozen_and_closed():
    task = build()
    with pytest.raises(pydantic.ValidationError):
        task.name = "other"
    with pytest.raises(pydantic.ValidationError):
        Task(**direct_only(nam="x"))


def test_a_reader_without_labels_takes_those_of_the_domain():
    task = build(labels=["Billing", "Login"], parsers={"direct": {"kind": "label"}})
    assert task.parsers["direct"].labels == ("Billing", "Login")
    assert task.parser().read(" billing") == "Billing"
    own = {"kind": "label", "labels": ["a", "b"]}
    assert build(labels=["Billing", "Login"], parsers={"direct": own}).parsers["direct"].labels == ("a", "b")


def test_metric_and_separator_need_no_repeating():
    task = build(metric="rougeL", stop=["END"])
    assert task.metrics == ("rougeL",)
    assert task.stop == ("\n\n", "END")
    assert build(separator="\n\n\n", stop=["END", "\n\n\n"]).stop == ("END", "\n\n\n")


def test_the_decimal_sign_reaches_reader_and_metric():
    comma = {**MARKED, "decimal": ","}
    task = build(parsers={"direct": comma}, metric="numeric_match_comma")
    assert task.parser().read("The answer is 1.234,50.") == "1234,5"
    assert Task.model_validate_json(task.model_dump_json()) == task


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"parsers": {"direct": {**MARKED, "decimal": ","}}, "metric": "numeric_match"},
            "apples: metrics must be without 'numeric_match', since the decimal sign of parsers.direct is ','.*"
            "name 'numeric_match_comma', or change parsers.direct.decimal",
        ),
        ({"metric": "numeric_match_comma"}, "metrics must be without 'numeric_match_comma'"),
        ({"parsers": {"direct": {**MARKED, "decimal": ";"}}}, r"parsers\.direct\.decimal must be '.' or ','"),
        ({"readers": {}}, r"^t: a key must be one of .*, got 'readers'; rename it to 'parsers'$"),
        ({"instrucions": []}, r"^t: a key must be one of .*, got 'instrucions'; did you mean 'instructions'\?$"),
        ({"zzz": 1}, "got 'zzz'; remove it"),
        ({"fields": []}, "fields: Tuple should have at least 1 item"),
        ({"fields": "question"}, "^t: fields must be a valid tuple, got 'question'$"),
        ({"labels": [True, "no"]}, r"^t: labels\.0 must be a valid string, got True; put it in quotes$"),
        ({"fields": ["question", "question"]}, "apples: fields must be different texts"),
        ({"fields": ["the question"]}, "fields must be a plain identifier other than target, rationale, id"),
        ({"fields": ["class"]}, "plain identifier"),
        ({"fields": ["question", "target"]}, "plain identifier other than target.*got 'target'"),
        ({"labels": ["a", ""]}, "labels must be different texts, none empty"),
        ({"separator": "\n"}, "separator must be a text that contains a blank line"),
        ({"separator": ""}, "separator must be a text that contains a blank line"),
        ({"stop": [""]}, "stop must be texts that are not empty"),
        ({"name": "../x"}, "name must be 1 to 64 letters"),
        ({"max_new_tokens": {"direct": 0}}, r"max_new_tokens\.direct must be greater than or equal to 1, got 0"),
        ({"max_new_tokens": {"direct": True}}, r"max_new_tokens\.direct must be a valid integer, got True"),
        ({"max_new_tokens": {"direct": "8"}}, r"max_new_tokens\.direct must be a valid integer, got '8'"),
        ({"max_new_tokens": {"reasoned": 9}}, "apples: max_new_tokens must be given for direct, one for each"),
        ({"max_new_tokens": {"dirct": 9}}, r"max_new_tokens\.dirct must be 'direct' or 'reasoned', got 'dirct'"),
        ({"parsers": {}}, "apples: parsers must be given for direct, one for each template of the task, got"),
        ({"parsers": {"direct": {"kind": "markd"}}}, r"parsers\.direct\.kind must be 'text', 'line', "),
        ({"parsers": {"direct": {"kind": "label"}}}, "labels must be the list of allowed labels"),
        ({"parsers": {"direct": {"kind": "regex", "pattern": "("}}}, "pattern"),
        ({"parsers": {"direct": {"kind": "line"}}}, r"parser of 'direct' must read 'probe' back from .*make parsers"),
        ({"templates": {}}, "direct.jinja is missing"),
        ({"templates": {"direct": DIRECT.replace("item.target", "item.question")}}, "must show item.target"),
        ({"templates": {"direct": DIRECT.replace("Answer:", "\nAnswer:")}}, "no blank line inside"),
        ({"templates": {"direct": DIRECT.replace("Question:", "\nQuestion:")}}, "right after the tag of the macro"),
        ({"templates": {"direct": DIRECT.replace(".{%", ".\n{%")}}, "no line break at their outer ends"),
        ({"templates": {"direct": DIRECT.replace("item.question", "item.qestion")}}, "item.qestion must be one of"),
        ({"templates": {"direct": DIRECT + "{% set x = 1 %}"}}, r"^apples/direct\.jinja: line 4: Assign is refused"),
        (
            {"templates": {"direct": DIRECT.replace("The answer is", "Result:")}},
            "must read '7' back from ' Result: 7.'",
        ),
        (
            {"templates": {"direct": DIRECT, "reasoned": DIRECT}, "parsers": {"direct": MARKED, "reasoned": MARKED}},
            r"apples/reasoned\.jinja: the macro answer must show item\.rationale",
        ),
    ],
)
def test_every_contradiction_is_named(changes, message):
    with pytest.raises(TaskError, match=message):
        build(**changes)


def test_several_faults_are_told_together():
    with pytest.raises(TaskError, match=r"t: description must be .*, got 5.* \| t: glossary must be "):
        build(description=5, glossary=[])


def test_a_broken_template_is_found_when_loading_and_keeps_its_class(tmp_path):
    with pytest.raises(TemplateError, match=r"^apples/direct\.jinja: line 1: "):
        load_task(write(tmp_path / "apples", {**SETTINGS, "parsers": {"direct": MARKED}}, direct="{% macro"))


def test_a_template_that_fails_only_for_empty_fields_is_found():
    failing = DIRECT.replace(
        "{{ item.question }}", "{% if item.question %}x{% else %}{{ item.question == '' }}{% endif %}"
    )
    with pytest.raises(TemplateError, match="must give text, got True"):
        build(templates={"direct": failing})


def test_instructions_are_tried_too():
    template = DIRECT + "{% macro instruction(text) %}{% if text == 'a' %}{{ not text }}{% endif %}{% endmacro %}"
    assert build(templates={"direct": template}, instructions=["b"])
    with pytest.raises(TemplateError, match="must give text, got False"):
        build(templates={"direct": template}, instructions=["b", "a"])


def test_asking_what_the_domain_does_not_offer():
    for method in (build().template, build().parser):
        with pytest.raises(TaskError, match=r"ask must be one of 'direct', got 'reasoned'; add reasoned\.jinja"):
            method("reasoned")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "task.yaml").unlink(), r"apples/task\.yaml is missing"),
        (lambda folder: (folder / "direct.jinja").unlink(), r"direct\.jinja is missing"),
        (
            lambda folder: (folder / "reasoned.jinja").rename(folder / "resoned.jinja"),
            r"a template must be one of 'direct\.jinja', 'reasoned\.jinja', got 'resoned\.jinja'",
        ),
        (lambda folder: write(folder, {**SETTINGS, "name": "x"}), "'name' must not be given"),
        (lambda folder: write(folder, {**SETTINGS, "templates": {}}), "'templates' must not be given"),
        (lambda folder: write(folder, "fields: [question]\nfields: [q]"), "line 2: the key 'fields' stands twice"),
        (lambda folder: write(folder, "[]"), "must be a mapping"),
    ],
)
def test_incomplete_folders(tmp_path, change, message):
    folder = write(tmp_path / "apples")
    load_task(folder)
    change(folder)
    with pytest.raises(TaskError, match=message):
        load_task(folder)


def test_names_and_paths(tmp_path, monkeypatch):
    root = tmp_path / "root"
    write(root / "apples")
    own = write(tmp_path / "work" / "mine")
    write(tmp_path / "work" / "apples", {**SETTINGS, "description": "another"})
    write(tmp_path / "bad name")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr("promptkit.tasks.loading.templates_root", lambda: root)
    for source in (own, str(own), "mine", "./mine", "../work/mine"):
        assert load_task(source).name == "mine"
    with pytest.raises(
        TaskError, match=r"load_task: 'apples' is both a shipped task .*root/apples\) and a local folder \(\./apples\)"
    ):
        load_task("apples")
    assert load_task(root / "apples").description == SETTINGS["description"]
    assert load_task("./apples").description == "another"
    assert load_task(Path("apples")).description == "another"
    for source, message in [
        ("aples", r"did you mean 'apples'\?"),
        ("..", r"task folder: name must be|task\.yaml is missing"),
        ("../root", r"root/task\.yaml is missing"),
        (tmp_path / "bad name", "task folder: name must be 1 to 64 letters"),
        ("./none", "folder must be an existing folder"),
        ("", "must be a name or a path"),
        ("a\0b", "must be a name or a path"),
        ("/" + "x" * 300, "existing folder"),
        ("x" * 300, "must be 1 to 64 letters"),
    ]:
        with pytest.raises(TaskError, match=message):
            load_task(source)


@pytest.mark.parametrize("name", ["tickets", "Tickets"])
def test_a_name_of_a_shipped_and_a_local_domain_is_refused_whatever_its_case(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = load_task("tickets")
    (tmp_path / name).mkdir()
    assert load_task("tickets") == shipped  # the twin: a folder without task.yaml is no task
    (tmp_path / name).rmdir()
    new_task(name, tmp_path)
    for bare in ("tickets", "Tickets"):
        with pytest.raises(
            TaskError, match=rf"'{bare}' is both .*{templates_root()}/tickets.* \(\./{name}\); write \./{name} for"
        ):
            load_task(bare)
    assert load_task(f"./{name}").fields == ("question",)
    assert load_task(templates_root() / "tickets") == shipped


def test_a_shipped_domain_seen_from_inside_its_folder_or_by_a_link_is_no_second_one(tmp_path, monkeypatch):
    monkeypatch.chdir(templates_root())
    assert load_task("tickets").labels
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tickets").symlink_to(templates_root() / "tickets")
    assert load_task("tickets").labels


def test_examples_of_a_task_that_is_known_by_its_settings(tmp_path):
    assert examples_source(load_task("tickets")) == (templates_root() / "tickets").resolve()
    assert examples_source(load_task(new_task("capitals", tmp_path))) == "capitals"
    with pytest.raises(
        TaskError, match=r"'tickets' has the name of a shipped task and is another one; pass the examples"
    ):
        examples_source(load_task(new_task("tickets", tmp_path)))


def test_every_shipped_domain_loads():
    names = list_tasks()
    assert names
    for name in names:
        task = load_task(name)
        assert task.name == name
        assert (templates_root() / name / "direct.jinja").read_text(encoding="utf-8") == task.templates["direct"]

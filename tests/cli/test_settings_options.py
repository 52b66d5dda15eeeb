"""Options are made from settings: the same names, types, limits and documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import Field

import promptkit as pk
from promptkit.adapters.settings import strategy_fields
from promptkit.cli.settings_options import Setting, climb_settings, strategy_settings
from promptkit.config import ClimbConfig, read_config

from .conftest import Run


def unmarked(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("strategy", ["few_shot", "chain_of_thought", "soft_prompt", "lora"])
def test_every_setting_of_a_strategy_is_an_option_of_fit(run: Run, strategy: str) -> None:
    shown = run("fit", "--help").out
    missing = [name for name in strategy_fields()[strategy] if f"--{name.replace('_', '-')} " not in shown]
    assert missing == []


def test_every_key_of_a_climbs_file_is_an_option_of_climb(run: Run) -> None:
    shown = run("climb", "--help").out
    keys = {*ClimbConfig.model_fields, "minutes", "tokens", "calls"} - {"task", "budget", "columns"}
    assert [key for key in sorted(keys) if f"--{key.replace('_', '-')} " not in shown] == []
    assert "--column " in shown


def test_options_have_the_documentation_of_settings(plugins: None) -> None:
    docs = {one.name: one.help for one in [*strategy_settings(), *climb_settings()]}
    assert all(docs.values())
    assert docs["epochs"] == "Times that every example is seen. Default: 8."
    assert "``" not in "".join(docs.values())
    assert (
        docs["learning_rate"].startswith("lora: Peak learning rate of the changes")
        or "soft_prompt: " in docs["learning_rate"]
    )


def test_options_say_the_same_as_a_file(run: Run, task: str, model: Any, tmp_path: Path) -> None:
    path = tmp_path / "climb.yaml"
    path.write_text(
        f"task: {task}\ntarget: 0.5\nrungs: [zero-shot, few-shot]\nfolds: 0\nblock: 4\nretries: 0\nmargin: 0.1\n"
        "budget: {calls: 500}\ntest_items: 3\n"
    )
    options = "--target 0.5 --rungs zero-shot,few-shot --folds 0 --block 4 --retries 0 --margin 0.1 --calls 500"
    by_file = json.loads(run("climb", "--config", str(path), "--json").out)
    by_options = json.loads(run("climb", task, *options.split(), "--test-items", "3", "--json").out)
    assert by_file["settings"] == by_options["settings"]
    assert by_file["settings"]["target"] == {"exact_match": 0.5}


def test_a_target_is_of_the_tasks_metric_where_none_is_named() -> None:
    assert read_config("", task="apples", target=0.5).target == 0.5
    assert read_config("", task="apples", target={"rougeL": 0.5}).target == {"rougeL": 0.5}
    with pytest.raises(pk.SettingError, match="climb: target"):
        read_config("", task="apples", target="high")


@pytest.mark.parametrize(
    ("annotation", "text", "wanted"),
    [
        (int | Literal["auto"], "auto", "auto"),
        (int | Literal["auto"], "3", 3),
        (int | str | None, "2", 2),
        (int | str | None, "Say it.", "Say it."),
        (Literal["all-linear"] | tuple[str, ...], "all-linear", "all-linear"),
        (Literal["all-linear"] | tuple[str, ...], "q_proj, v_proj", ["q_proj", "v_proj"]),
        (float | dict[str, float] | None, "exact_match=0.9", {"exact_match": 0.9}),
        (float | dict[str, float] | None, "0.9", 0.9),
        (dict[str, str], ["question=Frage", "target=Antwort"], {"question": "Frage", "target": "Antwort"}),
        (dict[str, str], [], None),
        (Annotated[int, Field(ge=1)] | None, 4, 4),
    ],
)
def test_a_text_becomes_what_the_setting_takes(annotation: Any, text: Any, wanted: Any) -> None:
    assert Setting("one", annotation, "").read(text) == wanted


@pytest.mark.parametrize(
    ("annotation", "text", "message"),
    [
        (int | Literal["auto"], "many", "must be a whole number or auto, got 'many'"),
        (float | dict[str, float], "good=very", "must be a number or NAME=X, got 'good=very'"),
        (dict[str, str], ["a=b", "a=c"], "must be NAME=VALUE, each name once"),
        (dict[str, str], ["a"], "must be NAME=VALUE, each name once"),
    ],
)
def test_a_text_that_it_does_not_take_is_told(annotation: Any, text: Any, message: str) -> None:
    with pytest.raises(typer.BadParameter, match=message):
        Setting("one", annotation, "").read(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("fit", "apples", "--strategy", "lora", "--out", "x", "--rank", "0"),
            "'--rank': Input should be greater than or equal to 1",
        ),
        (("fit", "apples", "--strategy", "lora", "--out", "x", "--variant", "pissa"), "'pissa' is not one of 'lora'"),
        (("fit", "apples", "--strategy", "lora", "--out", "x", "--ranks", "3"), "No such option: --ranks"),
        (("estimate", "--epochs", "3"), "No such option: --epochs"),
        (("climb", "apples", "--block", "many"), "'--block': Input should be a valid integer"),
    ],
)
def test_wrong_options_end_in_one_line(run: Run, arguments: tuple[str, ...], message: str) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert message in unmarked(outcome.err)


PLUGIN = """
import promptkit as pk

@pk.register("strategy", "doubled")
@pk.settings
class Doubled:
    \"\"\"Twice as many demonstrations.

    Attributes:
        task: What is done.
        half: Half of their number.
    \"\"\"

    task: pk.Task
    half: int = 1

    def fit(self, examples, backend, *, dev=None, seed=0):
        return pk.FewShot(self.task, shots=2 * self.half).fit(examples, backend, dev=dev, seed=seed)
"""


def test_a_strategy_of_a_plugin_has_its_options_too(spawn: Run, task: str, tmp_path: Path) -> None:
    plugin = tmp_path / "doubled.py"
    plugin.write_text(PLUGIN)
    shown = spawn("--plugin", str(plugin), "fit", "--help").out
    assert "Settings of doubled" in shown and "Half of their number. Default: 1." in unmarked(shown)
    out = str(tmp_path / "out")
    fitted = spawn("--plugin", str(plugin), "fit", task, "--strategy", "doubled", "--half", "2", "--out", out)
    assert (fitted.code, fitted.out) == (0, f"{out}: doubled for capitals, 4 shots\n"), fitted.err
    assert spawn("fit", task, "--strategy", "few_shot", "--half", "2", "--out", out).code == 2

"""The public names stand here a second time, so that none comes, goes or changes its parameters by accident."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import promptkit as pk

PUBLIC = """
    Adapter AnswerParser ArtifactError Backend BackendError BetaStop ChainOfThought Completion ContextLengthError Cost Data DataError DataWarning
    Example FewShot Leakage LeakageError LoRA LocalBackend Message MetricError MissingExtraError Plan PlanPredictor
    Prediction Predictor Prompt PromptkitError Query Reply Report Request Sampling ScoreRequest ScriptedBackend
    SettingError SoftPrompt Split Task TaskError TemplateError TrainingError TrainingStopped UnsupportedError Usage Vote VoteSummary WindowStop
    MemoryEstimate check_vllm estimate read_peft_folder
    AnswerTypeError Assistant AssistantReply Chat ReplyStream Routed Router
    Budget ClimbResult Record climb load_record
    BreakEven Comparison Price Sequential break_even compare minimum_detectable
    CachedBackend RemoteBackend
    evaluate get_metric lint list_tasks load load_examples load_task measure_leakage new_task render rouge select vote vote_rows
    write_report
    Aggregation LexicalIndex Metric ReadSample StopRule load_plugin register settings
""".split()

# The parameters on which callers may rely, in order; those before the bar have no default, those after it have one.
SIGNATURES = {
    "Assistant": "predictor | glossary tone min_agreement name handover data",
    "CachedBackend": "backend path | max_bytes",
    "ChainOfThought": "task | shots samples temperature vote stop tie near min_agreement show_reasoning select",
    "FewShot": "task | shots select ask",
    "LoRA": "task | soft_prompt rank alpha dropout targets variant learning_rate shots reasoned epochs batch_size patience max_minutes",
    "LocalBackend": "| name_or_folder dtype device batch_size chat",
    "RemoteBackend": "base_url model | api_key_env chat seeds logprobs context_window tokenizer connect_timeout read_timeout total_timeout max_concurrency retries",
    "Router": "assistants | refusal",
    "ScriptedBackend": "| answers chat context_window",
    "SoftPrompt": "task | tokens kind init init_text learning_rate shots reasoned epochs batch_size patience max_minutes",
    "check_vllm": "folder | max_lora_rank",
    "Price": "| per_million_prompt_tokens per_million_generated_tokens per_hour",
    "Sequential": "| alpha margin",
    "break_even": "first second | examples price training_seconds training_tokens",
    "climb": "task data backend | target budget seed rungs margin confidence folder resume unlabelled on_leakage folds",
    "load_record": "path |",
    "compare": "arms | examples metric baseline pairs margin confidence failures seed",
    "evaluate": "predictor examples | metrics seed confidence",
    "get_metric": "metric |",
    "list_tasks": "|",
    "load": "folder backend |",
    "load_plugin": "path |",
    "load_examples": "source | task fields target rationale id columns split seed skip_bad rejects on_leakage",
    "load_task": "source |",
    "minimum_detectable": "items | discordance sd confidence power arms",
    "new_task": "name | folder",
    "estimate": "model adapter | dtype batch_tokens",
    "register": "group name options |",
    "settings": "cls |",
    "read_peft_folder": "folder backend_fingerprint |",
    "render": "task query | demos ask form instruction",
    "rouge": "prediction reference | variant",
    "select": "method examples k | query seed labels",
    "vote": "samples | parser rule stop tie near",
    "vote_rows": "rows | parser samples gold rule stop tie near",
}


def test_the_public_names_are_these() -> None:
    assert sorted([*PUBLIC, "__version__"]) == sorted(pk.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    value = getattr(pk, name)
    assert name in dir(pk)
    assert inspect.getdoc(value)
    assert getattr(importlib.import_module(pk._HOME[name]), name) is value


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'promptkit' has no attribute 'FewShots'"):
        pk.FewShots  # noqa: B018


def test_type_checkers_see_the_names_that_run() -> None:
    tree = ast.parse(Path(pk.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.asname: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == pk._HOME


@pytest.mark.parametrize("name", SIGNATURES)
def test_parameters_stay(name: str) -> None:
    required, optional = (part.split() for part in SIGNATURES[name].split("|"))
    parameters = inspect.signature(getattr(pk, name)).parameters.values()
    assert [one.name for one in parameters if one.default is one.empty] == required
    names = [one.name for one in parameters if one.default is not one.empty]
    assert [one for one in names if one in optional] == optional


def test_a_predictor_keeps_its_face() -> None:
    assert list(inspect.signature(pk.FewShot.fit).parameters) == ["self", "examples", "backend", "dev", "seed"]
    for tuned in (pk.SoftPrompt, pk.LoRA):
        names = ["self", "examples", "backend", "dev", "seed", "teacher", "unlabelled", "checkpoint", "progress"]
        assert list(inspect.signature(tuned.fit).parameters) == names
    assert list(inspect.signature(pk.PlanPredictor.predict).parameters)[:3] == ["self", "queries", "seed"]
    assert list(inspect.signature(pk.PlanPredictor.save).parameters) == ["self", "folder"]


@pytest.mark.parametrize("name", [name for name, home in sorted(pk._HOME.items()) if home.endswith(f".{name}")])
def test_importing_a_module_does_not_hide_the_function_of_its_name(name: str) -> None:
    code = f"import {pk._HOME[name]}, promptkit; assert callable(promptkit.{name}), promptkit.{name}"
    subprocess.run([sys.executable, "-c", code], check=True)

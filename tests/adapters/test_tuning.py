"""Strategies with learned weights: what they train on, where they start, what they save, and on which models."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import promptkit as pk
from promptkit import (
    ArtifactError,
    CachedBackend,
    ChainOfThought,
    ContextLengthError,
    DataError,
    FewShot,
    LoRA,
    RemoteBackend,
    ScriptedBackend,
    SettingError,
    SoftPrompt,
    UnsupportedError,
    load_task,
)
from promptkit.adapters import PlanPredictor, adapter_from_settings, adapter_settings
from promptkit.adapters.tuning import training_pairs
from promptkit.records import field_names
from promptkit.tasks import render, render_answer
from promptkit.training import LoraSpec, TrainingConfig
from promptkit.types import Example, Query, Weights

TASK = load_task("tone")
QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 4, "max_new_tokens": 6, "precision": "float32", "instruction": None}
KINDS = [
    "gpt2",
    "bloom",
    "falcon_rw",
    "falcon",
    "gpt_neox",
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma",
    "phi",
    "opt",
    "t5",
]


def examples(count: int = 12) -> list[Example]:
    return [
        Example(Query({"message": f"how many apples {i}{' and so on' * (i % 3)}"}, f"e{i}"), (f"{i} apples",))
        for i in range(count)
    ]


def strategies(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "prompt": SoftPrompt(TASK, tokens=3, learning_rate=1.0, **QUICK),
        "lora": LoRA(TASK, rank=2, learning_rate=0.5, **QUICK),
    }
    if kind != "t5":
        found["prefix"] = SoftPrompt(TASK, tokens=3, kind="prefix", learning_rate=1.0, **QUICK)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_fits_saves_loads_and_predicts_alone_as_in_a_batch(
    kind: str, backend_of: Callable[..., Any], tmp_path: Path
) -> None:
    backend = backend_of(kind)
    queries = [one.query for one in examples()[-3:]]
    for name, adapter in strategies(kind).items():
        fitted = adapter.fit(examples()[:8], backend)
        together = [p.text for p in fitted.predict(queries)]
        assert [fitted.predict([query])[0].text for query in queries] == together, name
        fitted.save(tmp_path / name)
        again = pk.load(tmp_path / name, backend)
        assert (again.soft_prompt, again.lora) == (fitted.soft_prompt, fitted.lora)
        assert [p.text for p in again.predict(queries)] == together, name
        assert again.training == fitted.training
        assert fitted.training is not None and fitted.training.steps == 2


@pytest.mark.parametrize("form", ["completion", "chat"])
@pytest.mark.parametrize("shots", [0, 2])
def test_training_reads_the_very_tokens_that_generation_reads(
    form: Any, shots: int, backend_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backend_of("llama", chat=True)
    seen: dict[str, Any] = {}
    import promptkit.training.loop as loop

    def spy(backend: Any, pairs: Any, dev: Any, *rest: Any, **more: Any) -> Any:
        seen.update(pairs=pairs, dev=dev)
        return real(backend, pairs, dev, *rest, **more)

    real = loop.train
    monkeypatch.setattr(loop, "train", spy)
    adapter = SoftPrompt(TASK, tokens=3, shots=shots, form=form, **QUICK)
    fitted = adapter.fit(examples()[:6], backend, dev=examples()[8:10])
    for example, pair in zip([*examples()[:6], *examples()[8:10]], [*seen["pairs"], *seen["dev"]], strict=True):
        asked = fitted.ask(example.query)
        assert pair.prompt == asked.prompt
        assert example.query.key not in [demo.query.key for demo in asked.demos]
        answer = render_answer(TASK, example, form=form)
        assert (pair.answer, pair.end) == ((answer + TASK.separator, False) if form == "completion" else (answer, True))
    assert len(fitted.ask(examples()[8].query).demos) == shots


def test_what_the_model_was_taught_ends_where_generation_stops(backend_of: Callable[..., Any]) -> None:
    """Overfitted on one answer, the model writes it, ends by itself, and the parser reads it."""
    pseudo_labelled = [replace(one, targets=("it is fine",)) for one in examples(8)]
    for chat in (False, True):
        settings = {**QUICK, "epochs": 60, "patience": None, "max_new_tokens": 12}
        adapter = LoRA(TASK, rank=4, learning_rate=0.02, form="chat" if chat else "completion", **settings)
        found = adapter.fit(pseudo_labelled, backend_of("llama", chat=True)).predict([pseudo_labelled[0].query])[0]
        assert found.answer == "it is fine"
        assert found.completions[0].finish in ("stop", "eos")


def test_the_model_and_other_predictors_stay_as_they_were(backend_of: Callable[..., Any]) -> None:
    import torch

    backend = backend_of("llama")
    before = {name: tensor.clone() for name, tensor in backend.model.state_dict().items()}
    wanted = [each.requires_grad for each in backend.model.parameters()]
    LoRA(TASK, rank=2, soft_prompt=2, **QUICK).fit(examples()[:6], backend)
    after = backend.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert wanted == [each.requires_grad for each in backend.model.parameters()]


@pytest.mark.parametrize(
    "settings, shown",
    [
        ({"init": "domain"}, None),
        ({"init": "vocabulary"}, None),
        ({"init": "text", "init_text": "apples"}, "apples"),
        ({"init": "prompt"}, "apples"),
    ],
)
def test_where_vectors_start_is_told_in_the_notes(
    settings: dict[str, Any], shown: str | None, backend_of: Callable[..., Any]
) -> None:
    fitted = SoftPrompt(TASK, tokens=8, **settings, **QUICK).fit(examples()[:6], backend_of("llama"))
    start = fitted.notes["start"]
    assert start["init"] == settings["init"]
    assert len(start["tokens"]) == 8
    assert shown is None or shown in "".join(start["tokens"])


def test_random_vectors_have_no_start_tokens(backend_of: Callable[..., Any]) -> None:
    fitted = SoftPrompt(TASK, tokens=2, init="random", **QUICK).fit(examples()[:6], backend_of("llama"))
    assert fitted.notes["start"] == {"init": "random"}


def test_untrained_handed_down_vectors_are_the_embeddings_of_the_prompt(backend_of: Callable[..., Any]) -> None:
    backend = backend_of("llama")
    teacher = FewShot(TASK, shots=2, instruction=None).fit(examples()[:6], backend)
    settings = {**QUICK, "learning_rate": 1e-12}
    fitted = SoftPrompt(TASK, tokens=9, init="prompt", **settings).fit(examples()[:6], backend, teacher=teacher)
    query = examples()[9].query
    whole = backend._codec.prompt_ids(teacher.ask(query).prompt)
    bare = backend._codec.prompt_ids(render(TASK, query, instruction=None))
    head = whole[: len(whole) - len(bare) + 1]  # both have the begin-of-text token in front
    words = backend.model.get_input_embeddings().weight.detach().numpy()[head[-9:]]
    assert fitted.soft_prompt is not None
    assert np.allclose(fitted.soft_prompt.tensors["prompt_embeddings"], words, atol=1e-6)
    assert fitted.notes["start"]["prompt"] == "teacher"


def test_a_teacher_that_chooses_demonstrations_per_query_hands_down_some_that_stand_for_all(
    backend_of: Callable[..., Any],
) -> None:
    backend = backend_of("llama")
    teacher = FewShot(TASK, shots=2, select="nearest").fit(examples()[:6], backend)
    fitted = SoftPrompt(TASK, tokens=4, init="prompt", **QUICK).fit(examples()[:6], backend, teacher=teacher)
    assert len(fitted.notes["start"]["tokens"]) == 4


def test_the_best_of_several_prompts_on_dev_is_handed_down(backend_of: Callable[..., Any]) -> None:
    adapter = SoftPrompt(TASK, tokens=4, init="prompt", **QUICK)
    fitted = adapter.fit(examples()[:6], backend_of("llama"), dev=examples()[6:8])
    assert fitted.notes["start"]["prompt"] == "searched"
    assert fitted.notes["start"]["shots"] == 1
    assert isinstance(fitted.notes["start"]["dev_score"], float)


def test_a_teacher_without_a_prompt_hands_none_down(backend_of: Callable[..., Any]) -> None:
    teacher = FewShot(TASK, shots=0, instruction=None).fit((), backend_of("llama"))
    with pytest.raises(SettingError, match=r"SoftPrompt\(init='prompt'\): teacher must be a predictor"):
        SoftPrompt(TASK, init="prompt", **QUICK).fit(examples()[:6], backend_of("llama"), teacher=teacher)


def test_a_teachers_voted_answers_are_trained_on(backend_of: Callable[..., Any]) -> None:
    apples = load_task("apples")
    labelled = [Example(Query({"question": f"What is {i}?"}, f"a{i}"), (str(i),), f"It is {i}.") for i in range(4)]
    scripted = ScriptedBackend(lambda request, index: f" Sample {index}. The answer is {5 if index else 6}.\n\n")
    teacher = ChainOfThought(apples, shots=1, samples=3).fit(labelled, scripted)
    unlabelled = [{"question": f"What is {i} and {i}?"} for i in range(5)]
    adapter = LoRA(apples, rank=2, reasoned=True, targets="attention", **{**QUICK, "max_new_tokens": 30})
    fitted = adapter.fit(labelled, backend_of("llama"), teacher=teacher, unlabelled=unlabelled)
    assert fitted.notes["examples"]["distillation"]["used"] == 5
    assert fitted.notes["examples"]["trained_on"] == 9
    assert fitted.plan.ask == "reasoned"


def test_a_teacher_with_nothing_to_do_is_refused(backend_of: Callable[..., Any]) -> None:
    teacher = FewShot(TASK, shots=1).fit(examples()[:6], backend_of("llama"))
    with pytest.raises(SettingError, match="LoRA: unlabelled must be given with a teacher"):
        LoRA(TASK, **QUICK).fit(examples()[:6], backend_of("llama"), teacher=teacher)


def test_a_backend_without_a_model_is_refused() -> None:
    for adapter in (SoftPrompt(TASK), LoRA(TASK)):
        with pytest.raises(UnsupportedError, match="backend must be a LocalBackend.*got 'ScriptedBackend'"):
            adapter.fit(examples(), ScriptedBackend())


def test_a_server_behind_a_cache_is_refused_for_what_it_is_and_not_asked(tmp_path: Path) -> None:
    with CachedBackend(RemoteBackend("http://127.0.0.1:9/v1", "m"), tmp_path / "answers.sqlite") as backend:
        with pytest.raises(UnsupportedError, match=r"LocalBackend.*got 'RemoteBackend'.*in a shell no --base-url"):
            LoRA(TASK).fit(examples(), backend)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_weights_are_learned_behind_a_cache_and_answer_from_it(
    kind: str, backend_of: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = backend_of(kind)
    queries = [one.query for one in examples()[-3:]]
    own = {**QUICK, "instruction": 0}
    strategies = {
        "soft": SoftPrompt(TASK, tokens=3, init="prompt", **own),
        "lora": LoRA(TASK, rank=2, shots=1, learning_rate=0.5, **own),
    }
    plain = {name: one.fit(examples()[:8], local, dev=examples()[8:9]) for name, one in strategies.items()}
    wanted = {name: [p.text for p in one.predict(queries)] for name, one in plain.items()}
    assert wanted["soft"] != wanted["lora"]
    path = tmp_path / "answers.sqlite"
    with CachedBackend(local, path) as backend:
        for name, adapter in strategies.items():
            fitted = adapter.fit(examples()[:8], backend, dev=examples()[8:9])
            assert (fitted.soft_prompt, fitted.lora) == (plain[name].soft_prompt, plain[name].lora)
            assert fitted.backend is backend
            assert [p.text for p in fitted.predict(queries)] == wanted[name]
            fitted.save(tmp_path / name)
    with CachedBackend(local, path) as backend:
        monkeypatch.setattr(local, "generate", lambda *_, **__: pytest.fail("the model was asked"))
        for name in strategies:
            assert [p.text for p in pk.load(tmp_path / name, backend).predict(queries)] == wanted[name]


def test_virtual_tokens_take_room_from_demonstrations_and_questions(backend_of: Callable[..., Any]) -> None:
    backend = backend_of("llama")
    fitted = SoftPrompt(TASK, tokens=100, shots=4, **QUICK).fit(examples()[:6], backend)
    long = Query({"message": "apples " * 300}, "long")
    plain = replace(fitted, soft_prompt=None)
    assert fitted.ask(long).dropped > plain.ask(long).dropped
    too_long = Query({"message": "apples " * 400}, "too-long")
    plain.ask(too_long)
    with pytest.raises(ContextLengthError, match="its soft prompt 100"):
        fitted.ask(too_long)


def test_settings_round_trip_although_two_things_are_called_kind() -> None:
    adapter = SoftPrompt(TASK, kind="prefix", init="text", init_text="apples", epochs=3)
    values = json.loads(json.dumps(adapter_settings(adapter)))
    assert (values["kind"], values["soft_kind"]) == ("soft_prompt", "prefix")
    assert adapter_from_settings(TASK, values) == adapter
    low = LoRA(TASK, targets=["q_proj"], variant="dora", soft_prompt=4)
    assert adapter_from_settings(TASK, json.loads(json.dumps(adapter_settings(low)))) == low


def test_every_setting_of_training_is_one_of_each_strategy_and_reaches_it() -> None:
    given: dict[str, Any] = {
        "epochs": 2, "batch_size": 3, "accumulate": 4, "batch_tokens": 99, "patience": None, "eval_every": 7,
        "max_minutes": 1.5, "precision": "float32", "schedule": "linear", "warmup": 0.5, "weight_decay": 0.25,
        "clip": 2.0, "checkpoint_every": 9, "report_to": "wandb", "report_folder": "curves",
    }  # fmt: skip
    assert set(given) == set(field_names(TrainingConfig))
    for adapter in (LoRA(TASK, **given), SoftPrompt(TASK, **given)):
        assert adapter.tuning().train == TrainingConfig(**given)
        assert adapter_settings(adapter).items() >= given.items()
    low = LoRA(TASK, rank=3, variant="adalora", init_rank=6, orthogonality=0.1, learning_rate=0.5).tuning().lora
    assert low == LoraSpec(rank=3, variant="adalora", init_rank=6, orthogonality=0.1, learning_rate=0.5)


def test_settings_that_were_saved_with_fewer_names_still_work() -> None:
    old = {"kind": "lora", "rank": 2, "epochs": 3, "learning_rate": 0.01, "targets": ["q_proj"], "precision": "auto"}
    assert adapter_from_settings(TASK, old) == LoRA(TASK, rank=2, epochs=3, learning_rate=0.01, targets=("q_proj",))


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: SoftPrompt(TASK, init="text"), "init_text must be a text with init='text'"),
        (lambda: SoftPrompt(TASK, init_text="apples"), "init_text must be given with init='text' only"),
        (lambda: SoftPrompt(TASK, init="frequent"), "init must be 'domain', 'random'"),
        (lambda: SoftPrompt(TASK, tokens=0), "tokens must be greater than or equal to 1"),
        (lambda: SoftPrompt(TASK, learning_rate=0.0), "learning_rate must be greater than 0"),
        (lambda: SoftPrompt(TASK, precision="float16"), "precision must be 'float32', 'bfloat16' or 'auto'"),
        (lambda: LoRA(TASK, variant="pissa"), "variant must be 'lora', 'rslora', 'dora' or 'adalora'"),
        (lambda: LoRA(TASK, targets=[]), "targets must be"),
        (lambda: LoRA(TASK, dropout=1.0), "dropout must be less than 1"),
        (lambda: LoRA(TASK, teacher=1), "setting must be one of 'task', 'soft_prompt'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        build()


@pytest.fixture
def folder(backend_of: Callable[..., Any], tmp_path: Path) -> Path:
    LoRA(TASK, rank=2, soft_prompt=2, **QUICK).fit(examples()[:6], backend_of("llama")).save(tmp_path / "mine")
    return tmp_path / "mine"


def resave(folder: Path, to: Path, *, drop: str = "", meta: dict[str, Any] | None = None, **files: bytes) -> Path:
    """Saves an artifact again, edited, with a manifest that fits the edit."""
    from promptkit.artifacts import load_folder, save_folder

    saved = load_folder(folder, kind="predictor")
    kept = {name: data for name, data in saved.files.items() if name != drop}
    save_folder(to, {**kept, **files}, kind="predictor", meta={**saved.meta, **(meta or {})})
    return to


def test_a_folder_holds_both_weights_in_pefts_form(folder: Path) -> None:
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"soft_prompt.json", "soft_prompt.safetensors", "lora.json", "lora.safetensors"} <= names


def test_weights_of_another_model_are_refused_even_with_same_model_false(
    folder: Path, backend_of: Callable[..., Any]
) -> None:
    for same_model in (True, False):
        with pytest.raises(ArtifactError, match="its weights fit no other"):
            pk.load(folder, backend_of("qwen2"), same_model=same_model)


def test_a_server_plays_no_learned_weights_and_is_not_asked_who_it_is(folder: Path, tmp_path: Path) -> None:
    server = RemoteBackend("http://127.0.0.1:9/v1", "m")
    with CachedBackend(server, tmp_path / "answers.sqlite") as cached:
        for backend in (server, cached):
            with pytest.raises(ArtifactError, match="backend must be a LocalBackend, since there are learned weights"):
                pk.load(folder, backend)


@pytest.mark.parametrize("name", ["lora.safetensors", "lora.json", "soft_prompt.json"])
def test_weights_that_are_missing_in_part_are_refused(
    name: str, folder: Path, backend_of: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match=name):
        pk.load(resave(folder, tmp_path / "half", drop=name), backend_of("llama"))


def test_weights_that_the_manifest_does_not_promise_are_refused(
    folder: Path, backend_of: Callable[..., Any], tmp_path: Path
) -> None:
    for promised in ([], ["lora"], ["soft_prompt", "lora", "lora"], "lora", {"lora": 1}):
        edited = resave(folder, tmp_path / "edited", meta={"weights": promised})
        with pytest.raises(ArtifactError, match="weights must be those of its manifest"):
            pk.load(edited, backend_of("llama"))


def test_weights_in_the_wrong_slot_are_refused(folder: Path, backend_of: Callable[..., Any], tmp_path: Path) -> None:
    from promptkit.artifacts import load_folder

    saved = load_folder(folder, kind="predictor").files
    swapped = {"lora.json": saved["soft_prompt.json"], "lora.safetensors": saved["soft_prompt.safetensors"]}
    with pytest.raises(ArtifactError, match="lora must be weights for lora, got 'soft_prompt'"):
        pk.load(resave(folder, tmp_path / "edited", **swapped), backend_of("llama"))


def test_predictors_differ_by_their_weights(backend_of: Callable[..., Any]) -> None:
    backend = backend_of("llama")
    first, second = (LoRA(TASK, rank=2, **QUICK).fit(examples()[:6], backend, seed=seed) for seed in (0, 1))
    again = LoRA(TASK, rank=2, **QUICK).fit(examples()[:6], backend, seed=0)
    assert first.lora == again.lora != second.lora
    assert isinstance(first.lora, Weights) and first.lora.base == backend.fingerprint()


def test_a_prompt_has_no_training() -> None:
    assert FewShot(TASK, shots=0).fit((), ScriptedBackend()).training is None


def test_too_long_training_questions_are_errors_and_never_cut(backend_of: Callable[..., Any]) -> None:
    long = Example(Query({"message": "apples " * 600}, "long"), ("fine",))
    with pytest.raises(ContextLengthError, match="'long'"):
        LoRA(TASK, **QUICK).fit([long, *examples()[:4]], backend_of("llama"))


def test_pairs_of_an_encoder_decoder_end_with_the_end_token(backend_of: Callable[..., Any]) -> None:
    plan = FewShot(TASK, shots=0, max_new_tokens=6).fit((), backend_of("t5")).plan
    (pair,) = training_pairs(PlanPredictor(plan, TASK, backend_of("t5")), examples(1), reserved=0)
    assert pair.end and pair.answer.endswith(TASK.separator)


def test_nothing_to_train_on_is_refused(backend_of: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match="examples must be at least one"):
        LoRA(TASK, **QUICK).fit([], backend_of("llama"))

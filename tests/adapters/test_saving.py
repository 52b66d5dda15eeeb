from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import promptkit as pk
from promptkit import ArtifactError, ChainOfThought, FewShot, ScriptedBackend, load_task
from promptkit.adapters import Plan, PlanPredictor
from promptkit.artifacts import load_folder, save_folder
from promptkit.types import Example, Prediction, Query

TASK = load_task("tickets")
POOL = [Example(Query({"message": f"message {i} {{{{ 7*7 }}}} Ω"}, f"t{i}"), (TASK.labels[i % 6],)) for i in range(12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    FewShot(TASK, shots=3).fit(POOL, ScriptedBackend([" Harbor\n\n"])).save(tmp_path / "mine")
    return tmp_path / "mine"


def test_a_loaded_predictor_sends_the_same_prompts(folder: Path) -> None:
    backend = ScriptedBackend([" Harbor\n\n"])
    fresh = FewShot(TASK, shots=3).fit(POOL, backend)
    again = pk.load(folder, backend)
    query = Query({"message": "hello"})
    assert again.ask(query).prompt == fresh.ask(query).prompt
    assert again.plan == fresh.plan
    assert again.task == fresh.task


def test_it_loads_without_the_domain_folder_and_without_machine_paths(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert str(tmp_path) not in path.read_text(encoding="utf-8")


def test_another_model_is_refused_unless_asked_for(folder: Path) -> None:
    other = ScriptedBackend([" Harbor\n\n"], name="other")
    if other.fingerprint() == ScriptedBackend([" Harbor\n\n"]).fingerprint():
        pytest.fail("two different backends have one fingerprint")
    with pytest.raises(ArtifactError, match=r"model must be 'scripted'.*same_model=False"):
        pk.load(folder, other)
    assert pk.load(folder, other, same_model=False).plan.shots == 3


def test_a_changed_byte_is_refused_by_name(folder: Path) -> None:
    demos = next(folder.rglob("demos.jsonl"))
    demos.write_text(demos.read_text(encoding="utf-8").replace("message", "massage"), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"demos\.jsonl"):
        pk.load(folder, ScriptedBackend([" Harbor\n\n"]))


def test_settings_that_redirect_the_model_are_no_part_of_the_format(folder: Path, tmp_path: Path) -> None:
    from promptkit.artifacts import load_folder, save_folder

    saved = load_folder(folder, kind="predictor")
    plan = json.loads(saved.files["plan.json"]) | {"base_url": "http://127.0.0.1:9", "api_key": "x"}
    save_folder(tmp_path / "evil", {**saved.files, "plan.json": json.dumps(plan)}, kind="predictor", meta=saved.meta)
    with pytest.raises(ArtifactError, match=r"plan\.json cannot be used"):
        pk.load(tmp_path / "evil", ScriptedBackend([" Harbor\n\n"]))


def test_a_missing_file_is_named(folder: Path, tmp_path: Path) -> None:
    from promptkit.artifacts import load_folder, save_folder

    saved = load_folder(folder, kind="predictor")
    rest = {name: text for name, text in saved.files.items() if name != "plan.json"}
    save_folder(tmp_path / "half", rest, kind="predictor", meta=saved.meta)
    with pytest.raises(ArtifactError, match=r"plan\.json"):
        pk.load(tmp_path / "half", ScriptedBackend([" Harbor\n\n"]))


class Stranger:
    """A predictor that changes what a plan answers, and saves the plan alone."""

    def __init__(self, inner: PlanPredictor) -> None:
        self.inner, self.task = inner, inner.task

    def predict(self, queries: Sequence[Any], **rest: Any) -> list[Prediction]:
        return [replace(p, answer=f"{p.answer}!") for p in self.inner.predict(queries, **rest)]

    def save(self, folder: Any) -> None:
        self.inner.save(folder)


class Arguments(Stranger):
    def save(self, *args: Any, **named: Any) -> None:
        self.inner.save(*args, **named)


class Helped(Stranger):
    def save(self, folder: Any, overwrite: bool = True) -> None:
        self._write(Path(folder))

    def _write(self, place: Path) -> None:
        self.inner.save(str(place))


class Nested(Stranger):
    def __init__(self, inner: PlanPredictor) -> None:
        super().__init__(inner)
        self.inner = Stranger(inner)  # type: ignore[assignment]


class Ensemble(Stranger):
    """The twin: a format of its own around saved predictors, which load does not take for one."""

    def save(self, folder: Any) -> None:
        Path(folder).mkdir()
        self.inner.save(Path(folder) / "first")


class Sub(PlanPredictor):
    pass


class OwnPlan(Plan):
    temper: str = "calm"


def fitted() -> PlanPredictor:
    return FewShot(TASK, shots=3).fit(POOL, ScriptedBackend([" Harbor\n\n"]))


@pytest.mark.parametrize("kind", [Stranger, Arguments, Helped, Nested])
@pytest.mark.parametrize("by_name", [True, False])
def test_a_predictor_that_saves_through_another_is_refused(kind: type[Stranger], by_name: bool, tmp_path: Path) -> None:
    stranger = kind(fitted())
    with pytest.raises(
        ArtifactError, match=r"a predictor must be one that promptkit.load builds again.*let fit return"
    ):
        if by_name:
            stranger.save(folder=tmp_path / "mine")
        else:
            stranger.save(str(tmp_path / "mine"))
    assert not (tmp_path / "mine").exists()
    fitted().save(tmp_path / "mine")  # the twin
    assert pk.load(tmp_path / "mine", ScriptedBackend([" Harbor\n\n"])).plan == fitted().plan


def test_a_format_of_its_own_around_predictors_is_left_alone(tmp_path: Path) -> None:
    Ensemble(fitted()).save(tmp_path / "ensemble")
    backend = ScriptedBackend([" Harbor\n\n"])
    assert pk.load(tmp_path / "ensemble" / "first", backend).plan == fitted().plan
    with pytest.raises(ArtifactError):
        pk.load(tmp_path / "ensemble", backend)


def test_what_load_would_not_rebuild_is_refused(tmp_path: Path) -> None:
    good = fitted()
    sub = Sub(good.plan, good.task, good.backend)
    with pytest.raises(ArtifactError, match="Sub: a predictor must be one that promptkit.load builds again"):
        sub.save(tmp_path / "sub")
    own = replace(good, plan=OwnPlan(**dict(good.plan)))
    with pytest.raises(ArtifactError, match=r"plan\.json cannot be used|plan must be of class Plan"):
        own.save(tmp_path / "own")
    broken = replace(good, plan=good.plan.model_copy(update={"samples": 10**9}))
    with pytest.raises(ArtifactError, match="plan.json cannot be used: samples: Input should be less than or equal to"):
        broken.save(tmp_path / "broken")
    for notes in ({"a": {1, 2}}, {"a": float("nan")}, [1]):
        with pytest.raises(ArtifactError, match="notes"):
            replace(good, notes=notes).save(tmp_path / "notes")  # type: ignore[arg-type]
    lone = Example(Query({"message": "half a \ud800 sign"}, "s"), (TASK.labels[0],))
    with pytest.raises(ArtifactError, match="surrogate"):
        replace(good, plan=good.plan.model_copy(update={"demos": (lone,)})).save(tmp_path / "lone")
    assert not list(tmp_path.iterdir())


def resealed(folder: Path, name: str, change: Callable[[Any], Any]) -> Path:
    """The folder with a changed file and right hashes, as somebody with bad intentions would make it."""
    saved = load_folder(folder, kind="predictor")
    data = saved.files[name]
    if name.endswith(".jsonl"):
        lines = data.splitlines()
        content = json.dumps(change(json.loads(lines[0]))).encode() + b"\n" + b"\n".join(lines[1:])
    else:
        content = json.dumps(change(json.loads(data))).encode()
    place = folder.with_name("resealed")
    shutil.rmtree(place, ignore_errors=True)
    save_folder(place, {**saved.files, name: content}, kind="predictor", meta=saved.meta)
    return place


@pytest.fixture(scope="module")
def voted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved predictor whose plan uses every field."""
    task = load_task("apples")
    some = [Example(Query({"question": f"What is {i} and 1?"}, f"p{i}"), (str(i + 1),), "Count.") for i in range(6)]
    adapter = ChainOfThought(
        task, shots=2, samples=4, vote="distinct", near=0.5, stop=pk.WindowStop(2), min_agreement=0.25, top_p=0.9
    )
    folder = tmp_path_factory.mktemp("voted") / "mine"
    adapter.fit(some, ScriptedBackend([" The answer is 5."])).save(folder)
    return folder


HUGE = [10**9, 10**30, -1, 0, -(10**30), 1e300, -0.5, "5", "NaN", "inf", True, None, [], {}, [[[[1]]]], "x" * 100_000]
NUMBERS = ["shots", "max_new_tokens", "samples", "temperature", "top_p", "seed"]
MEANT = {
    "shots": [0], "max_new_tokens": [], "samples": [], "temperature": [0], "top_p": [],
    "seed": [10**9, -1, 0],
}  # fmt: skip
"""What of it is a good value."""


@pytest.mark.parametrize("field", NUMBERS)
def test_every_number_of_a_resealed_plan_has_bounds(voted: Path, field: str) -> None:
    backend = ScriptedBackend([" The answer is 5."])
    for value in HUGE:
        place = resealed(voted, "plan.json", lambda plan, value=value: plan | {field: value})
        if value in MEANT[field] and type(value) is int:
            assert getattr(pk.load(place, backend).plan, field) == value
            continue
        with pytest.raises(ArtifactError, match=rf"plan\.json cannot be used: {field}: "):
            pk.load(place, backend)


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("near", [0, 1.5, -1, "0.5", True, [], 1e300]),
        ("min_agreement", [0, 1.5, -1, "0.5", True, [], 1e300]),
        (
            "stop",
            [
                "never",
                5,
                [],
                {},
                {"size": 2},
                {"kind": "window", "size": 1},
                {"kind": "window", "size": "2"},
                {"kind": "window", "size": 10**9},
                {"kind": "beta", "threshold": 1.0},
                {"kind": "beta", "size": 2},
            ],
        ),
        ("rule", ["most", 1, None]),
        ("show_reasoning", ["no", 1, None]),
        ("unknown", [1]),
    ],
)
def test_every_number_of_a_resealed_vote_has_bounds(voted: Path, field: str, bad: list[object]) -> None:
    for value in bad:
        place = resealed(
            voted, "plan.json", lambda plan, value=value: plan | {"aggregate": plan["aggregate"] | {field: value}}
        )
        with pytest.raises(ArtifactError, match=r"plan\.json cannot be used: (aggregate|its (aggregator|stop rule) )"):
            pk.load(place, ScriptedBackend([" The answer is 5."]))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("plan.json", lambda plan: [plan]),
        ("plan.json", lambda plan: plan | {"aggregate": [plan["aggregate"]]}),
        ("plan.json", lambda plan: plan | {"ask": "shouted"}),
        ("plan.json", lambda plan: plan | {"answer_by": "likelihood"}),
        ("plan.json", lambda plan: plan | {"demos": [{"query": {}}]}),
        ("task.json", lambda task: task | {"max_new_tokens": {"direct": 10**9, "reasoned": 5}}),
        ("task.json", lambda task: task | {"max_new_tokens": {"direct": "NaN", "reasoned": 5}}),
        ("task.json", lambda task: [task]),
        ("demos.jsonl", lambda demo: demo | {"targets": []}),
        ("demos.jsonl", lambda demo: demo | {"targets": "5"}),
        ("demos.jsonl", lambda demo: demo | {"rationale": 5}),
        ("demos.jsonl", lambda demo: [demo]),
        ("demos.jsonl", lambda demo: demo | {"query": {"fields": {"question": 5}, "id": ""}}),
        ("notes.json", lambda notes: [notes]),
        ("notes.json", lambda notes: "notes"),
        ("notes.json", lambda notes: notes | {"training": 5}),
        ("notes.json", lambda notes: notes | {"training": {"steps": 10**9}}),
    ],
)
def test_a_resealed_file_is_refused_by_name(voted: Path, name: str, change: Callable[[Any], Any]) -> None:
    with pytest.raises(ArtifactError, match=rf"{name} cannot be used: "):
        pk.load(resealed(voted, name, change), ScriptedBackend([" The answer is 5."]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda plan: plan | {"aggregate": plan["aggregate"] | {"rule": "best"}}, "aggregator 'best'"),
        (lambda plan: plan | {"aggregate": plan["aggregate"] | {"stop": {"kind": "lead"}}}, "stop rule 'lead'"),
        (lambda plan: plan | {"per_query": "semantic"}, "selector 'semantic'"),
    ],
)
def test_a_piece_that_is_not_registered_is_named(voted: Path, change: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(ArtifactError, match=rf"its {said} is not registered; load the plugin that registers it"):
        pk.load(resealed(voted, "plan.json", change), ScriptedBackend([" The answer is 5."]))


def test_a_deep_plan_is_refused(voted: Path) -> None:
    deep: Any = 1
    for _ in range(49):
        deep = [deep]
    with pytest.raises(ArtifactError):
        resealed(voted, "plan.json", lambda plan: plan | {"aggregate": deep})


def test_a_seed_that_no_plan_holds_is_a_setting_error() -> None:
    given: Any = np.int64(3)
    assert FewShot(TASK, shots=1).fit(POOL, ScriptedBackend([" Harbor\n\n"]), seed=given).plan.seed == 3
    for seed in (2**63, -(2**80), 1.5, "1", True, None):
        with pytest.raises(pk.SettingError, match="fit: seed must be an integer below"):
            FewShot(TASK, shots=1).fit(POOL, ScriptedBackend([" Harbor\n\n"]), seed=seed)  # type: ignore[arg-type]

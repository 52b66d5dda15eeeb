from __future__ import annotations

import asyncio
import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import promptkit as pk
from promptkit.assistants import Questions
from promptkit.assistants.router import KEPT, _threshold

from .conftest import Make

COLOURS = ("red", "green", "blue", "white", "black", "brown", "grey", "pink")
CARS = Questions(
    tuple(f"how fast is the {colour} car with a {part}" for colour in COLOURS for part in ("roof", "rack", "hook")),
    tuple(f"how fast is the {colour} car with a tow bar" for colour in COLOURS),
)
SOUP = Questions(
    tuple(f"stir the {colour} soup and add {what}" for colour in COLOURS for what in ("salt", "milk", "oil")),
    tuple(f"stir the {colour} soup and add herbs" for colour in COLOURS),
)


@pytest.fixture
def desk(make: Make) -> pk.Router:
    return pk.Router(
        [make([" The answer is 1."], name="cars", data=CARS), make([" The answer is 2."], name="soup", data=SOUP)]
    )


def test_the_nearest_answers_and_strangers_are_refused(desk: pk.Router) -> None:
    routed = desk.ask("how fast is the blue car?")
    assert (routed.chosen, routed.text) == ("cars", "The answer is 1.")
    assert routed.scores["cars"] > desk.thresholds["cars"] > routed.scores["soup"]
    assert desk.ask("stir the grey soup").chosen == "soup"
    none = desk.ask("who wrote Solaris?")
    assert (none.chosen, none.reply, none.text) == (None, None, "None of the assistants here is for this question.")


def test_refusing_asks_no_model(desk: pk.Router) -> None:
    desk.ask("who wrote Solaris?")
    assert desk.route("") is None
    assert all(not assistant.predictor.backend.requests for assistant in desk.assistants.values())


def test_without_a_threshold_the_stranger_would_be_let_in(desk: pk.Router) -> None:
    """The bad twin: the nearest of all, however far."""
    scores = desk.ask("is the moon red?").scores
    assert max(scores, key=scores.__getitem__) in desk.assistants
    assert desk.route("is the moon red?") is None


def test_a_question_may_come_by_fields_and_asynchronously(desk: pk.Router) -> None:
    assert desk.route({"question": "how fast is the blue car?"}) == "cars"
    assert asyncio.run(desk.aask("stir the pink soup")).chosen == "soup"


def test_names_of_fields_give_nothing_away(desk: pk.Router) -> None:
    assert desk.route({"car": "stir the pink soup"}) == desk.route("stir the pink soup")


def test_what_a_router_needs(make: Make) -> None:
    with pytest.raises(pk.SettingError, match="assistants must be two or more of different names, got \\['apples'\\]"):
        pk.Router([make()])
    with pytest.raises(pk.SettingError, match="name them apart"):
        pk.Router([make(), make()])
    with pytest.raises(pk.SettingError, match="refusal must be a text not blank"):
        pk.Router([make(), make(name="b")], refusal="")


def test_a_domain_of_ones_own_must_bring_its_questions(make: Make, tmp_path: Path) -> None:
    folder = pk.new_task("capitals", tmp_path)
    task = pk.load_task(folder)
    predictor = pk.FewShot(task, shots=0).fit([], pk.ScriptedBackend(["x"]))
    with pytest.raises(pk.SettingError, match=r"data must be given for a task of your own, .*Assistant\(\.\.\., data="):
        pk.Router([make(), pk.Assistant(predictor)])
    data = pk.load_examples(folder)
    own = pk.Assistant(predictor, data=data)
    own.save(tmp_path / "own")
    again = pk.Assistant.load(tmp_path / "own", pk.ScriptedBackend(["x"]))
    assert again.routing() == Questions.of(data)
    assert not {example.query.fields["question"] for example in data.test} & {
        *again.routing().train,
        *again.routing().dev,
    }


def test_a_domain_of_ones_own_with_a_shipped_name_is_not_mistaken(tmp_path: Path) -> None:
    folder = pk.new_task("products", tmp_path)
    predictor = pk.FewShot(pk.load_task(folder), shots=0).fit([], pk.ScriptedBackend(["x"]))
    with pytest.raises(pk.SettingError, match="data must be given"):
        pk.Assistant(predictor).routing()


def test_data_without_dev_cannot_set_a_threshold() -> None:
    data = pk.load_examples([{"question": "a?", "target": "1"}] * 1, split=(1.0, 0.0, 0.0), on_leakage="ignore")
    with pytest.raises(pk.DataError, match="a training and a dev split, neither empty"):
        Questions.of(data)


def test_the_threshold_is_the_best_and_highest() -> None:
    own = np.linspace(0.5, 0.9, 200)
    assert _threshold(own, np.array([])) == pytest.approx(0.5)
    assert _threshold(own, np.full(50, 0.1)) == pytest.approx(0.5)
    raised = _threshold(own, np.full(50, 0.503))  # strangers that a slightly higher threshold keeps out
    assert raised > 0.503
    assert (own >= raised).mean() >= KEPT
    assert (own >= _threshold(own, np.full(50, 0.8))).mean() >= KEPT  # never at the cost of its own questions


def benchmark() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "router.py"
    spec = importlib.util.spec_from_file_location("router_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_shipped_domains_are_told_apart_and_strangers_refused() -> None:
    script = benchmark()
    desk = script.shipped_desk()
    right = Counter[str]()
    for name in pk.list_tasks():
        items = script.items_of(name)[:150]
        right[name] = sum(desk.route(fields) == name for fields in items)
        assert right[name] / len(items) >= 0.93, name
    assert right.total() / (150 * 6) >= 0.95
    questions = script.outside(6)
    assert len(questions) >= 120
    assert len({kind for kind, _ in questions}) == 30
    seen = {text for name in pk.list_tasks() for text in (*desk.assistants[name].routing().dev,)}
    assert not seen & {question for _, question in questions}
    refused = sum(desk.route(question) is None for _, question in questions)
    assert refused / len(questions) >= 0.9

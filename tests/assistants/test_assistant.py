from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import promptkit as pk
from promptkit.types import Weights

from .conftest import QUESTION, Make


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_agreement": 0.0}, "min_agreement must be a share above 0 and at most 1, or None, got 0.0"),
        ({"min_agreement": True}, "min_agreement must be a share"),
        ({"min_agreement": float("nan")}, "min_agreement must be a share"),
        ({"min_agreement": 0.6}, "draws one completion, since nothing votes, got 0.6; fit ChainOfThought"),
        ({"tone": 5}, "tone must be a text, got 5"),
        ({"handover": " "}, "handover must be a text not blank"),
        ({"glossary": {"": "x"}}, "glossary must be"),
    ],
)
def test_bad_settings_are_refused(make: Make, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(pk.SettingError, match=message):
        make(**settings)


@pytest.mark.parametrize("name", ["../x", "a/b", "CON", " ", "x" * 100, "-x"])
def test_bad_names_are_refused(make: Make, name: str) -> None:
    with pytest.raises(pk.TaskError):
        make(name=name)


def test_only_a_fitted_predictor_makes_an_assistant() -> None:
    with pytest.raises(pk.SettingError, match="predictor must be a predictor that an adapter's fit"):
        pk.Assistant(pk.FewShot(pk.load_task("apples")))  # type: ignore[arg-type]


def test_the_name_is_the_tasks_unless_given(make: Make) -> None:
    assert (make().name, make(name="desk").name) == ("apples", "desk")


def test_likelihood_may_abstain_by_its_probability() -> None:
    task = pk.load_task("tickets")
    scores = lambda request, text: -1.0 if "Harbor" in text else -1.5  # noqa: E731
    backend = pk.ScriptedBackend(scores=scores)
    predictor = pk.FewShot(task, shots=0, answer_by="likelihood").fit([], backend)
    sure, unsure = (pk.Assistant(predictor, min_agreement=least).ask("my parcel") for least in (0.2, 0.5))
    assert (sure.answer, unsure.answer, unsure.reason) == ("Harbor", None, "disagreement")
    assert "".join(pk.Assistant(predictor).stream("my parcel")) == "Harbor"


def test_asking_leaves_no_trace(make: Make) -> None:
    assistant = make()
    first = assistant.ask(QUESTION)
    assert assistant.ask(QUESTION).prediction.completions == first.prediction.completions
    stream = assistant.stream(QUESTION)
    assert "".join(stream) == first.text


class Weighted(pk.ScriptedBackend):
    """A scripted model that takes weights, as a real one does."""

    def generate(self, requests: Sequence[pk.Request], *, progress: Any = None) -> list[pk.Reply]:
        self.seen = list(requests)
        return super().generate([replace(request, soft_prompt=None) for request in requests], progress=progress)


def soft_prompt(tokens: int) -> Weights:
    return Weights("soft_prompt", {}, {"prompt_embeddings": np.zeros((tokens, 4), np.float32)}, "base")


def test_weights_go_into_every_request_and_take_room_from_the_turns() -> None:
    kept = []
    for soft in (None, soft_prompt(60)):
        backend = Weighted([" The answer is 5."], context_window=200)
        predictor = pk.FewShot(pk.load_task("apples"), shots=0).fit([], backend)
        chat = pk.Assistant(replace(predictor, soft_prompt=soft)).chat()
        for number in range(20):
            chat.send(f"Turn {number}?")
            (request,) = backend.seen
            assert request.soft_prompt == soft
            assert backend.count_tokens(request.prompt) + 16 + (60 if soft else 0) <= 200
        kept.append(len(chat.kept))
    assert kept[0] - kept[1] >= 3

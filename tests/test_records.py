"""Records of settings and results, and what help shows of them. Settings: fields of bases, their order, their documentation, and errors that name the setting."""

from __future__ import annotations

import inspect
import pydoc
from dataclasses import KW_ONLY, FrozenInstanceError
from typing import Annotated

import pytest
from pydantic import AfterValidator, BaseModel, Field, ValidationError

import promptkit as pk
from promptkit.errors import SettingError
from promptkit.records import FrozenRecord, documented, field_docs, field_names, part_of, plain_signature, settings


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("an even number")
    return value


@settings
class Base:
    """What several share.

    Attributes:
        seed: Seed of everything,
            also of order.
    """

    _: KW_ONLY
    seed: Annotated[int, AfterValidator(_even)] = 0


@settings
class Own(Base):
    """What one has.

    Attributes:
        task: What is done.
        shots: How many.

    Example:
        none
    """

    task: str
    shots: Annotated[tuple[int, ...], Field(min_length=1)] = (4,)


def test_own_fields_come_first_and_may_be_given_by_place() -> None:
    assert field_names(Own) == ["task", "shots", "seed"] == list(inspect.signature(Own).parameters)
    assert Own("tone", (1,), seed=2) == Own(task="tone", shots=(1,), seed=2)
    with pytest.raises(FrozenInstanceError):
        Own("tone").seed = 4  # type: ignore[misc]


def test_fields_of_a_base_are_documented_with_those_of_the_class() -> None:
    assert field_docs(Own) == {
        "task": "What is done.",
        "shots": "How many.",
        "seed": "Seed of everything, also of order.",
    }
    assert "    shots: How many.\n    seed: Seed of everything,\n        also of order.\n\nExample:" in str(Own.__doc__)


def test_the_part_of_a_base_is_taken() -> None:
    assert part_of(Own("tone", seed=6), Base) == Base(seed=6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"task": 5}, "Own: task must be a valid string, got 5"),
        ({"task": "tone", "seed": 3}, "Own: seed must be an even number, got 3"),
        ({"task": "tone", "shots": ()}, r"Own: shots must be of length 1 or more, got \(\)"),
        (
            {"task": "tone", "seeds": 3},
            "Own: setting must be one of 'task', 'shots', 'seed', got 'seeds'",
        ),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=f"^{message}"):
        Own(**values)  # type: ignore[arg-type]


def test_a_wrong_value_that_is_given_by_place_is_named() -> None:
    with pytest.raises(SettingError, match="^Own: shots must be a valid tuple, got 5"):
        Own("tone", 5)  # type: ignore[arg-type]


@pytest.mark.parametrize("strategy", [pk.FewShot, pk.ChainOfThought, pk.SoftPrompt, pk.LoRA])
def test_every_setting_of_a_strategy_is_documented(strategy: type) -> None:
    assert set(field_docs(strategy)) >= set(field_names(strategy))


SHOWN = [pk.FewShot, pk.ChainOfThought, pk.SoftPrompt, pk.LoRA, pk.Task, pk.Report, pk.Comparison, pk.Record, pk.Cost]


class Point(FrozenRecord):
    x: float
    y: float = 0.0


def test_a_record_is_frozen_and_refuses_unknown_fields() -> None:
    with pytest.raises(ValidationError):
        Point(x=1).x = 2  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Point(x=1, z=2)  # type: ignore[call-arg]


@pytest.mark.parametrize("shown", SHOWN, ids=lambda one: one.__name__)
def test_help_shows_parameters_and_docs_and_nothing_of_pydantic(shown: type) -> None:
    text = pydoc.plain(pydoc.render_doc(shown))
    own = text.replace("pydantic.main.BaseModel", "").replace("pydantic.ValidationError", "")
    for hidden in ("pydantic", "model_config", "FieldInfo", "Field(", "__dataclass", "_abc_impl"):
        assert hidden not in own, hidden
    for name in inspect.signature(shown).parameters:
        assert name in text
    assert (inspect.getdoc(shown) or "").splitlines()[0] in text


def test_help_of_a_plain_pydantic_class_shows_what_is_hidden_here() -> None:
    class Plain(BaseModel):
        x: float

    assert "model_config" in pydoc.plain(pydoc.render_doc(Plain))


def test_an_annotation_is_shown_as_it_was_written() -> None:
    assert "shots: int = 4" in str(inspect.signature(pk.FewShot))
    assert "max_new_tokens: int | None = None" in str(inspect.signature(pk.FewShot))
    assert str(plain_signature(Point)) == "(*, x: float, y: float = 0.0) -> None"


def test_dir_shows_public_names_only() -> None:
    assert dir(pk) == pk.__all__


def test_a_class_made_once_more_keeps_its_super() -> None:
    class Base:
        def say(self) -> str:
            return "base"

    @documented
    class Child(Base):
        def say(self) -> str:
            return f"child of {super().say()}"

    assert Child().say() == "child of base"
    assert dir(Child) == ["say"]

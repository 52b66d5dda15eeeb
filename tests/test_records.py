"""Records of settings: fields of bases, their order, their documentation, and errors that name the setting."""

from __future__ import annotations

import inspect
from dataclasses import KW_ONLY, FrozenInstanceError
from typing import Annotated

import pytest
from pydantic import AfterValidator, Field

import promptkit as pk
from promptkit.errors import SettingError
from promptkit.records import field_docs, field_names, part_of, settings


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

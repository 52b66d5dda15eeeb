"""200 typed answers of the reference model, of six types over three tasks: every one validates."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

import promptkit as pk


class Count(BaseModel):
    answer: int
    unit: str


class Steps(BaseModel):
    steps: list[str] = Field(max_length=4)
    total: float
    sure: bool


class Product(BaseModel):
    value: str
    kind: Literal["money", "place", "person", "time", "risk"]
    more: dict[str, int] = {}


class Ticket(BaseModel):
    team: Literal["Harbor", "Quarry", "Lantern", "Meadow", "Compass", "Anchor"]
    urgency: int = Field(ge=1, le=5)
    reference: str | None


TYPES: list[tuple[str, Any]] = [
    ("apples", Count), ("apples", Steps), ("apples", list[int]), ("products", Product), ("tickets", Ticket),
    ("tickets", tuple[str, float]),
]  # fmt: skip


@pytest.mark.slow
def test_200_typed_answers_of_the_reference_model_validate() -> None:
    backend = pk.LocalBackend("reference")
    data = {name: pk.load_examples(name, on_leakage="ignore") for name in ("apples", "products", "tickets")}
    assistants = {
        name: pk.Assistant(pk.FewShot(pk.load_task(name), shots=2).fit(found.train, backend))
        for name, found in data.items()
    }
    valid = 0
    for number in range(200):
        name, kind = TYPES[number % len(TYPES)]
        answer = assistants[name].ask(data[name].test[number].query.fields, answer_type=kind)
        valid += isinstance(answer, kind if isinstance(kind, type) and issubclass(kind, BaseModel) else list | tuple)
    assert valid == 200

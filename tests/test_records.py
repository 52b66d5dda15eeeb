from __future__ import annotations

import inspect
import pydoc

import pytest
from pydantic import ValidationError

import promptkit as pk
from promptkit.records import FrozenRecord, documented, plain_signature

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
    from pydantic import BaseModel

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

"""What functions that take examples accept, and what they say of everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from promptkit.errors import DataError, error_message
from promptkit.types import Example, Query

__all__ = ["check_examples"]


def check_examples(examples: object, *, of: str, which: str = "examples", texts: bool = False) -> None:
    """Refuses what is no sequence of examples, and says what to pass instead.

    Args:
        examples: What was passed.
        of: Whose argument it is, for the message.
        which: The name of the argument.
        texts: Whether plain texts are accepted in place of examples.

    Raises:
        DataError: It is a whole data set, a source that was not loaded, or holds something else than examples.

    Example:
        >>> check_examples([{"question": "2 + 2?", "target": "4"}], of="FewShot.fit")
        Traceback (most recent call last):
            ...
        promptkit.errors.DataError: FewShot.fit: examples must be a sequence of Example, such as data.train, got a \
dict at place 0; make examples of rows: load_examples(rows, split=(1, 0, 0)).train
    """
    expected = "a sequence of Example, such as data.train"
    if all(hasattr(examples, name) for name in ("train", "dev", "test")):
        hint = "pass one of its splits: data.train, data.dev or data.test"
        raise DataError(error_message(which, of=of, expected=expected, got=type(examples).__name__, hint=hint))
    if isinstance(examples, str | Path | Mapping) or hasattr(examples, "column_names") or hasattr(examples, "columns"):
        hint = "load it first: load_examples(source).train"
        raise DataError(error_message(which, of=of, expected=expected, got=type(examples).__name__, hint=hint))
    if not isinstance(examples, Sequence) and not (hasattr(examples, "__len__") and hasattr(examples, "__getitem__")):
        raise DataError(
            error_message(which, of=of, expected=expected, got=type(examples).__name__, hint="make a list of it")
        )
    accepted = (Example, str) if texts else (Example,)
    for place, example in enumerate(examples):  # type: ignore[var-annotated, arg-type]
        if not isinstance(example, accepted):
            hint = ""
            if isinstance(example, Mapping):
                hint = "; make examples of rows: load_examples(rows, split=(1, 0, 0)).train"
            elif isinstance(example, Query):
                hint = "; a Query has no answer: pass an Example(query, targets)"
            raise DataError(f"{of}: {which} must be {expected}, got a {type(example).__name__} at place {place}{hint}")

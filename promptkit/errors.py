"""Every deliberate error of promptkit, drawn as a tree.

PromptkitError
├── SettingError (ValueError)          a setting of an adapter, request or command is out of range
├── DataError (ValueError)             examples or queries cannot be used; says rows and columns
│   └── LeakageError                   the same item is in training and test data
├── TaskError (ValueError)             a task folder is incomplete or contradicts itself
│   └── TemplateError                  a template does not compile, is undefined, unsafe or too costly
├── BackendError (RuntimeError)        a model could not be loaded or could not answer
│   ├── ContextLengthError             a prompt does not fit the context window and is never cut
│   └── UnsupportedError               this backend does not offer what was asked for
├── AnswerTypeError (ValueError)       an answer could not be given the type that was asked for; holds the text
├── TrainingError (RuntimeError)       training came to no good end; says at which step and why
│   └── TrainingStopped                the process was asked to stop; says how to go on
├── MetricError (ValueError)           a metric cannot score this text
├── ArtifactError (ValueError)         a saved folder is refused; says which file and why
└── MissingExtraError (ImportError)    an optional dependency is not installed; says the command

Each is also an error of the standard library, so callers who do not know promptkit still catch it.
A message names which thing, of whom, what it must be, what it got, and what to do.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ParamSpec, TypeVar

__all__ = [
    "AnswerTypeError",
    "ArtifactError",
    "BackendError",
    "ContextLengthError",
    "DataError",
    "LeakageError",
    "MetricError",
    "MissingExtraError",
    "PromptkitError",
    "SettingError",
    "TaskError",
    "TemplateError",
    "TrainingError",
    "TrainingStopped",
    "UnsupportedError",
    "check_path",
    "error_message",
    "one_of",
    "opens",
]

P = ParamSpec("P")
T = TypeVar("T")


class PromptkitError(Exception):
    """Base of every error that promptkit raises on purpose."""


class SettingError(PromptkitError, ValueError):
    """A setting is unknown, of the wrong type or out of range."""


class DataError(PromptkitError, ValueError):
    """Examples or queries cannot be used as they are."""


class LeakageError(DataError):
    """Training and test data share items."""


class TaskError(PromptkitError, ValueError):
    """A task folder is incomplete or contradicts itself."""


class TemplateError(TaskError):
    """A template does not compile, uses an undefined name, is unsafe or costs too much."""


class BackendError(PromptkitError, RuntimeError):
    """A model could not be loaded or could not answer."""


class ContextLengthError(BackendError):
    """A prompt does not fit the model's context window; promptkit never cuts a question."""


class UnsupportedError(BackendError):
    """The backend does not offer what was asked for."""


class AnswerTypeError(PromptkitError, ValueError):
    """An answer could not be given the type that was asked for.

    Attributes:
        text: The last text of the model, as it stood.
    """

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


class TrainingError(PromptkitError, RuntimeError):
    """Training failed: NaN or infinite loss or gradient, or out of memory."""


class TrainingStopped(TrainingError):
    """Training was stopped early; a checkpoint was saved if there is a folder for it.

    Args:
        message: What happened, and how to go on.
        log: The ``TrainingLog`` until then.
    """

    def __init__(self, message: str, log: object = None) -> None:
        super().__init__(message)
        self.log = log


class MetricError(PromptkitError, ValueError):
    """A metric cannot score this text, and a silent 0 would be a lie."""


class ArtifactError(PromptkitError, ValueError):
    """A saved folder is refused; the message names the file and the reason."""


class MissingExtraError(PromptkitError, ImportError):
    """An optional dependency is not installed."""


def error_message(name: str, *, of: str, expected: str, got: object, hint: str = "") -> str:
    """Builds the one message form of the project: which, of whom, must be, got, what to do.

    Args:
        name: The name of the setting, field or file.
        of: To whom it belongs, for example ``"FewShot"``.
        expected: What it must be, as the end of a sentence that starts with "must be".
        got: What was given; shown by ``repr``, cut at 80 characters.
        hint: What the caller can do about it, a full clause. May be empty.

    Returns:
        One line of text.

    Example:
        >>> error_message("shots", of="FewShot", expected="an integer of at least 0", got=-1)
        'FewShot: shots must be an integer of at least 0, got -1'
    """
    shown = repr(got)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    text = f"{of}: {name} must be {expected}, got {shown}"
    return f"{text}; {hint}" if hint else text


def one_of(names: Iterable[str]) -> str:
    """Joins names into the text "one of 'a', 'b'" for messages.

    Example:
        >>> one_of(["a", "b"])
        "one of 'a', 'b'"
    """
    return "one of " + ", ".join(repr(name) for name in names)


def check_path(
    value: object,
    which: str,
    *,
    of: str,
    error: type[PromptkitError] = SettingError,
    expected: str = "the path of a file or folder",
) -> Path:
    """Checks that a value can be the path of a file or folder, whether or not there is one.

    Args:
        value: A text, or another object with a path as text; ``None``, numbers and bytes are none.
        which: The name of the setting, for messages.
        of: To whom it belongs.
        error: The kind of error.
        expected: What it must be, for messages.

    Returns:
        The path.

    Raises:
        PromptkitError: It is empty, holds a NUL character or half of a surrogate pair, or is no text; the kind is
            ``error``.

    Example:
        >>> check_path("my-adapter", "folder", of="load").name
        'my-adapter'
    """
    try:
        text = os.fspath(value)  # type: ignore[call-overload]
        if text and isinstance(text, str) and b"\0" not in os.fsencode(text):
            return Path(text)
    except (TypeError, UnicodeEncodeError):
        pass
    raise error(
        error_message(
            which, of=of, expected=expected, got=value, hint="give a text that is not empty, without NUL characters"
        )
    )


def opens(
    error: type[PromptkitError],
    *,
    of: str,
    which: str = "path",
    place: int = 0,
    others: bool = False,
    expected: str = "the path of a file or folder",
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Makes a function that opens a file or folder end in errors of one kind, whatever the system says.

    Args:
        error: The kind of error.
        of: What messages call the function.
        which: The name of the argument with the path.
        place: Its place.
        others: Whether the argument may also be something else than a path, or empty.
        expected: What the argument must be, for messages.

    Returns:
        A decorator.

    Example:
        >>> @opens(DataError, of="first_line")
        ... def first_line(path):
        ...     with open(path, encoding="utf-8") as file:
        ...         return file.readline()
        >>> first_line("no/such/file")
        Traceback (most recent call last):
        promptkit.errors.DataError: first_line: no/such/file cannot be used: No such file or directory
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            value = args[place] if len(args) > place else kwargs.get(which)
            given = len(args) > place or which in kwargs
            if given and (not others or (isinstance(value, str | os.PathLike) and value)):
                check_path(value, which, of=of, error=error, expected=expected)
            try:
                return function(*args, **kwargs)
            except OSError as reason:
                if isinstance(reason, PromptkitError):
                    raise
                name = reason.filename if isinstance(reason.filename, str) else value
                shown = str(name) if len(str(name)) <= 200 else f"{str(name)[:100]}...{str(name)[-97:]}"
                raise error(f"{of}: {shown} cannot be used: {reason.strerror or reason}") from reason

        return checked

    return decorate

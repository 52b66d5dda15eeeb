"""Every deliberate error of promptkit, drawn as a tree.

PromptkitError
├── SettingError (ValueError)          a setting of an adapter, request or command is out of range
├── DataError (ValueError)             examples or queries cannot be used; says rows and columns
│   └── LeakageError                   the same item stands in training and test data
├── TaskError (ValueError)             a domain folder is incomplete or contradicts itself
│   └── TemplateError                  a template does not compile, is undefined, unsafe or too costly
├── BackendError (RuntimeError)        a model could not be loaded or could not answer
│   ├── ContextLengthError             a prompt does not fit the context window and is never cut
│   └── UnsupportedError               this backend does not offer what was asked for
├── AnswerTypeError (ValueError)       an answer could not be given the type that was asked for; holds the text
├── TrainingError (RuntimeError)       training came to no good end; says at which step and why
│   └── TrainingStopped                the process was told to end; says how to go on
├── MetricError (ValueError)           a metric cannot score this text
├── ArtifactError (ValueError)         a saved folder is refused; says which file and why
└── MissingExtraError (ImportError)    an optional dependency is not installed; says the command

Each is also an error of the standard library, so callers who do not know promptkit still catch it.
A message names which thing, of whom, what it must be, what it got, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable

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
    "explain",
    "one_of",
]


class PromptkitError(Exception):
    """Base of every error that promptkit raises on purpose."""


class SettingError(PromptkitError, ValueError):
    """A setting is unknown, of the wrong type or out of range."""


class DataError(PromptkitError, ValueError):
    """Examples or queries cannot be used as they are."""


class LeakageError(DataError):
    """Training and test data share items."""


class TaskError(PromptkitError, ValueError):
    """A domain folder is incomplete or contradicts itself."""


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
    """Training came to no good end: a loss or gradient was no number, or memory was short."""


class TrainingStopped(TrainingError):
    """Training was told to end before its time; a checkpoint was saved if there is a folder for it.

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


def explain(which: str, *, of: str, must: str, got: object, do: str = "") -> str:
    """Builds the one message form of the project: which, of whom, must be, got, what to do.

    Args:
        which: The name of the setting, field or file.
        of: To whom it belongs, for example ``"FewShot"``.
        must: What it must be, as the end of a sentence that starts with "must be".
        got: What was given; shown by ``repr``, cut at 80 characters.
        do: What the caller can do about it, a full clause. May be empty.

    Returns:
        One line of text.

    Example:
        >>> explain("shots", of="FewShot", must="an integer of at least 0", got=-1)
        'FewShot: shots must be an integer of at least 0, got -1'
    """
    shown = repr(got)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    text = f"{of}: {which} must be {must}, got {shown}"
    return f"{text}; {do}" if do else text


def one_of(names: Iterable[str]) -> str:
    """Joins names into the text "one of 'a', 'b'" for messages.

    Example:
        >>> one_of(["a", "b"])
        "one of 'a', 'b'"
    """
    return "one of " + ", ".join(repr(name) for name in names)

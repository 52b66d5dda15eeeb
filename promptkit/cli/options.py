"""Options that several commands share, with the texts of their help."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from promptkit.cli.models import open_model
from promptkit.errors import SettingError
from promptkit.registry import Group, find

if TYPE_CHECKING:
    import promptkit as pk

__all__ = [
    "Adapter",
    "AllowLeakage",
    "AnswerBy",
    "ApiKeyEnv",
    "AskOption",
    "Backend",
    "BaseUrl",
    "Cache",
    "Columns",
    "DataSource",
    "Delimiter",
    "Encoding",
    "GroupBy",
    "Json",
    "Model",
    "NoServer",
    "Samples",
    "Seed",
    "Select",
    "Stop",
    "TaskName",
    "Traceback",
    "VoteRule",
    "check_name",
    "import_pieces",
    "parse_shots",
    "reading",
    "wants_traceback",
]

_TRACEBACK = "promptkit.traceback"


def _remember_traceback(ctx: typer.Context, wanted: bool) -> bool:
    ctx.meta[_TRACEBACK] = wanted  # shared by the context of the group, where errors arrive
    return wanted


def wants_traceback(ctx: Any) -> bool:
    """Tells whether the command that runs under a context was given ``--traceback``."""
    return bool(ctx.meta.get(_TRACEBACK))


def _refuse_server(value: str | None) -> None:
    if value is not None:
        raise typer.BadParameter(
            "must be left out for this command, which needs a model's own files, and a server does not show them; name "
            "a folder or a model of the Hugging Face Hub with --model"
        )


def import_pieces(group: Group) -> None:
    """Imports the module with promptkit's own pieces of a group; imported late, so that help loads nothing heavy."""
    homes = {"metric": "metrics", "aggregator": "parsing", "stop_rule": "parsing", "backend": "backends"}
    importlib.import_module(f"promptkit.{homes.get(group, 'adapters')}")


def check_name(group: Group, *also: str) -> Callable[[str], str]:
    """Returns a callback for an option that takes a registered name.

    Args:
        group: What is named.
        also: Names that the option takes besides.

    Returns:
        A function that gives the name or raises ``typer.BadParameter``.
    """

    def check(name: str) -> str:
        if name not in also:
            import_pieces(group)
            try:
                find(group, name, of="promptkit", also=also)
            except SettingError as error:
                raise typer.BadParameter("must be " + str(error).partition(" must be ")[2]) from None
        return name

    return check


TaskName = Annotated[
    str, typer.Argument(metavar="TASK", help="A shipped task by name, or the path of a folder, as ./mine.")
]
Model = Annotated[
    str,
    typer.Option(
        "--model", metavar="NAME", help="'reference', a folder, a name on the Hugging Face Hub, or one at --base-url."
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", metavar="URL", help="An OpenAI-compatible server, as http://localhost:8000/v1."),
]
NoServer = Annotated[str | None, typer.Option("--base-url", hidden=True, callback=_refuse_server)]
ApiKeyEnv = Annotated[
    str | None,
    typer.Option("--api-key-env", metavar="NAME", help="The environment variable with the server's API key."),
]
Cache = Annotated[
    str | None,
    typer.Option("--cache", metavar="FILE", help="Keep answers in this SQLite file, and take those that it has."),
]
Backend = Annotated[
    str | None,
    typer.Option("--backend", metavar="NAME", help="What runs the model: local, openai or one of a plugin."),
]
Select = Annotated[
    str,
    typer.Option(
        "--select",
        metavar="NAME",
        callback=check_name("selector", "searched"),
        help="How demonstrations are chosen: first, random, balanced, nearest, diverse, searched, or by a plugin.",
    ),
]
AskOption = Annotated[
    Literal["direct", "reasoned"], typer.Option("--ask", help="For the answer alone, or for reasoning that ends in it.")
]
AnswerBy = Annotated[
    Literal["generation", "likelihood"],
    typer.Option("--answer-by", help="By generated text, or for label tasks by the likelihood of each label."),
]
Samples = Annotated[
    int,
    typer.Option("--samples", min=1, help="Paths of reasoning per question; two or more are sampled, and they vote."),
]
VoteRule = Annotated[
    str,
    typer.Option(
        "--vote",
        metavar="NAME",
        callback=check_name("aggregator"),
        help="By samples (majority), by different paths (distinct), by their probability (weighted), or by a plugin.",
    ),
]
Stop = Annotated[
    str,
    typer.Option(
        "--stop",
        metavar="NAME",
        callback=check_name("stop_rule", "none"),
        help="When samples are enough: never (none), at a certain lead (beta), if five agree (window), or by a plugin.",
    ),
]
DataSource = Annotated[
    str, typer.Option("--data", metavar="SOURCE", help="Examples: a file or folder; by default those of the task.")
]
Columns = Annotated[
    list[str],
    typer.Option(
        "--column", metavar="FIELD=COLUMN", help="The column of a field, target or id of another name; repeat it."
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option("--delimiter", metavar="CHAR", help="What separates cells: a character, or semicolon, tab, pipe."),
]
Encoding = Annotated[str | None, typer.Option("--encoding", metavar="NAME", help="Encoding of files, as cp1252.")]
GroupBy = Annotated[
    str,
    typer.Option(
        "--group",
        metavar="NAME",
        help="The field or column that tells which examples belong together, as the document of several questions.",
    ),
]
AllowLeakage = Annotated[bool, typer.Option("--allow-leakage", help="Go on where items of one split stand in another.")]
Adapter = Annotated[
    str, typer.Option("--adapter", metavar="FOLDER", help="A saved predictor; shots and selection are its own.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of choices and samples.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Traceback = Annotated[
    bool, typer.Option("--traceback", callback=_remember_traceback, help="Show where an error came from.")
]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model a command uses."""

    model: Model = "reference"
    base_url: BaseUrl = None
    api_key_env: ApiKeyEnv = None
    backend: Backend = None
    cache: Cache = None

    def open(self) -> pk.Backend:
        """Opens it (see ``open_model``)."""
        return open_model(self.model, self.base_url, self.api_key_env, self.cache, self.backend)


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which examples a command uses, and how their rows are read."""

    data: DataSource = ""
    column: Columns = field(default_factory=list)
    delimiter: Delimiter = None
    encoding: Encoding = None

    @property
    def reading(self) -> dict[str, Any]:
        """The settings of ``load_examples`` that say how rows are read."""
        return reading(self.column, self.delimiter, self.encoding)


@dataclass(frozen=True, kw_only=True)
class ScoredOptions(DataOptions):
    """Which examples a command scores on."""

    group: GroupBy = ""
    allow_leakage: AllowLeakage = False
    split: Annotated[Literal["train", "dev", "test"], typer.Option("--split", help="What is scored.")] = "test"
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Score the first so many examples only.")] = None

    def load(self, task: pk.Task, source: str) -> tuple[pk.Data, pk.Split]:
        """Loads all examples, from ``source`` where the options name none, and those to score on."""
        import promptkit as pk

        leakage: Literal["warn", "auto"] = "warn" if self.allow_leakage else "auto"
        found = pk.load_examples(
            self.data or source, task=task, group=self.group or None, on_leakage=leakage, **self.reading
        )
        return found, found.splits[self.split][: self.limit]


@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """How questions are asked by commands that prompt without a saved predictor."""

    select: Select = "balanced"
    ask: AskOption = "direct"
    samples: Samples = 1
    vote: VoteRule = "majority"
    stop: Stop = "none"
    answer_by: AnswerBy = "generation"


def with_records(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of the records among its parameters.

    Args:
        command: A function, some of whose parameters are annotated with dataclasses of options.

    Returns:
        The command with one option for each field; the function is called with the records.
    """
    parameters: list[inspect.Parameter] = []
    records: dict[str, Any] = {}
    hints = get_type_hints(command, include_extras=True)
    for one in inspect.signature(command).parameters.values():
        if not is_dataclass(hint := hints[one.name]):
            parameters.append(one.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        records[one.name] = hint
        types = get_type_hints(hint, include_extras=True)
        for each in fields(hint):
            default = each.default if each.default is not MISSING else []
            parameters.append(
                inspect.Parameter(
                    each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=types[each.name]
                )
            )

    @functools.wraps(command)
    def call(**values: Any) -> None:
        given = {name: cls(**{one.name: values.pop(one.name) for one in fields(cls)}) for name, cls in records.items()}
        command(**values, **given)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call


def parse_shots(texts: list[str]) -> list[int]:
    """Reads numbers of demonstrations, given as ``--shots 0,4,8`` or by repeating the option.

    Args:
        texts: The values of the option.

    Returns:
        The numbers in order, without repeats.

    Raises:
        typer.BadParameter: A value is no whole number of at least 0.

    Example:
        >>> parse_shots(["0,4", "8"])
        [0, 4, 8]
    """
    parts = [part.strip() for text in texts for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise typer.BadParameter(f"must be whole numbers such as 0,4,8, got {','.join(texts)!r}", param_hint="--shots")
    return list(dict.fromkeys(int(part) for part in parts))


def reading(column: list[str], delimiter: str | None, encoding: str | None) -> dict[str, Any]:
    """Gives the settings of ``load_examples`` that say how rows are read.

    Args:
        column: The values of ``--column``, each ``FIELD=COLUMN``.
        delimiter: The value of ``--delimiter``.
        encoding: The value of ``--encoding``.

    Returns:
        The settings by name.

    Raises:
        typer.BadParameter: A value of ``--column`` has no field or no column, or a field appears twice.

    Example:
        >>> reading(["question=Frage"], "tab", None)
        {'columns': {'question': 'Frage'}, 'delimiter': 'tab', 'encoding': None}
    """
    columns: dict[str, str] = {}
    for text in column:
        name, _, found = text.partition("=")
        if not name.strip() or not found.strip() or name.strip() in columns:
            raise typer.BadParameter(f"must be FIELD=COLUMN, each field once, got {text!r}", param_hint="--column")
        columns[name.strip()] = found
    return {"columns": columns, "delimiter": delimiter, "encoding": encoding}

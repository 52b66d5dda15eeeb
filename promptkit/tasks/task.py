"""A task: what stays fixed while strategies are compared, read from a task folder.

A task folder holds ``task.yaml`` (instructions, fields, how to read an answer, metrics), ``direct.jinja``
and, where reasoning helps, ``reasoned.jinja``. A task is checked as a whole when it is made: each template is
compiled and rendered with probe texts, and the parser must read the probe answer back from what the template
shows.
"""

from __future__ import annotations

import difflib
import keyword
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from promptkit.errors import TaskError, TemplateError, error_message, one_of, opens
from promptkit.parsing.parser import AnswerParser, ParserSpec
from promptkit.tasks.loading import (
    DataSettings,
    check_name,
    is_path,
    list_tasks,
    read_mapping,
    read_text,
    resolve_name,
    task_folder,
    templates_root,
)
from promptkit.tasks.template import NEWLINES, Template, compile_template, fold_blank_lines
from promptkit.types import Ask

__all__ = ["Task", "build_task", "examples_source", "list_tasks", "load_task", "templates_root"]

_ASKS: tuple[Ask, ...] = get_args(Ask)
_DEFAULT_TOKENS: dict[Ask, int] = {"direct": 64, "reasoned": 256}
_RESERVED_FIELDS = ("target", "rationale", "id")
Tokens = Annotated[int, Field(ge=1, le=100_000, strict=True)]


class Task(BaseModel):
    """What stays fixed while strategies are compared. ``model_dump_json`` holds all of it.

    Attributes:
        name: The task's name, also the name of its folder.
        description: One sentence for people.
        instructions: Ways to say what is wanted; the first is the default.
        fields: The input fields of a query, in order.
        labels: The possible answers of a label task.
        parsers: How an answer is read, by way of asking. ``decimal: ","`` in one of numbers makes the comma the
            decimal sign of completions and targets; the metric is then ``numeric_match_comma``.
        templates: Jinja2 source of the template, by way of asking. ``"direct"`` is always there.
        metric: The main metric.
        metrics: The metrics that tables show; the main one is among them.
        max_new_tokens: Limit of generated tokens, by way of asking.
        separator: What stands between the items of a completion prompt. It contains a blank line, because the
            texts inside an item never do.
        stop: Texts that end a completion; the separator is always among them.
        glossary: Terms of the task and what they mean.
        data: How the task's rows are read: names of columns, delimiter and encoding.

    Raises:
        pydantic.ValidationError: A value is wrong. ``build_task`` and ``load_task`` give a ``TaskError``
            instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    instructions: tuple[str, ...] = ()
    fields: tuple[str, ...] = Field(min_length=1)
    labels: tuple[str, ...] = ()
    parsers: dict[Ask, ParserSpec]
    templates: dict[Ask, str]
    metric: str = "exact_match"
    metrics: tuple[str, ...]
    max_new_tokens: dict[Ask, Tokens]
    separator: str = "\n\n"
    stop: tuple[str, ...]
    glossary: dict[str, str] = {}
    data: DataSettings = DataSettings()

    @model_serializer(mode="wrap")
    def _leave_out_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves data settings out where there are none, so that tasks saved before them stay as they are."""
        found: dict[str, Any] = serialize(self)
        if self.data == DataSettings():
            found.pop("data", None)
        return found

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        """Completes what follows from other values, so that a task need not say it twice."""
        if not isinstance(data, Mapping):
            return data
        data = dict(data)
        _put_first(data, "metrics", data.get("metric", "exact_match"))
        _put_first(data, "stop", data.get("separator", "\n\n"))
        if isinstance(data.get("parsers"), Mapping) and data.get("labels"):
            data["parsers"] = {ask: _with_labels(spec, data["labels"]) for ask, spec in data["parsers"].items()}
        if isinstance(data.get("templates"), Mapping):
            limits = data.get("max_new_tokens", {})
            if isinstance(limits, Mapping):
                defaults = {ask: n for ask, n in _DEFAULT_TOKENS.items() if ask in data["templates"]}
                data["max_new_tokens"] = {**defaults, **limits}
        return data

    @model_validator(mode="after")
    def _check(self) -> Task:
        check_name(self.name)
        for field in self.fields:
            if not field.isidentifier() or keyword.iskeyword(field) or field in _RESERVED_FIELDS:
                expected = f"a plain identifier other than {', '.join(_RESERVED_FIELDS)}"
                raise TaskError(error_message("fields", of=self.name, expected=expected, got=field))
        for which in ("fields", "labels", "metrics"):
            values = getattr(self, which)
            if len(set(values)) < len(values) or "" in values:
                raise TaskError(error_message(which, of=self.name, expected="different texts, none empty", got=values))
        if "\n\n" not in self.separator:
            expected = "a text that contains a blank line, since the fields of an item never contain one"
            raise TaskError(error_message("separator", of=self.name, expected=expected, got=self.separator))
        if "" in self.stop:
            raise TaskError(error_message("stop", of=self.name, expected="texts that are not empty", got=self.stop))
        if "direct" not in self.templates:
            raise TaskError(f"{self.name}: the template direct.jinja is missing")
        for which in ("parsers", "max_new_tokens"):
            if set(getattr(self, which)) != set(self.templates):
                expected = f"given for {' and '.join(self.templates)}, one for each template of the task"
                raise TaskError(error_message(which, of=self.name, expected=expected, got=sorted(getattr(self, which))))
        for ask in self.templates:
            self._check_decimal(ask)
            self._try_out(ask)
        return self

    def template(self, ask: Ask = "direct") -> Template:
        """Returns the compiled template.

        Args:
            ask: The way of asking.

        Returns:
            The template, compiled once per source.

        Raises:
            TaskError: The task has no template for this way of asking.
        """
        if ask not in self.templates:
            hint = f"add {ask}.jinja and a parser to the task, or ask otherwise"
            raise TaskError(
                error_message("ask", of=f"task {self.name}", expected=one_of(self.templates), got=ask, hint=hint)
            )
        return compile_template(self.templates[ask], self.fields, f"{self.name}/{ask}.jinja")

    def parser(self, ask: Ask = "direct") -> AnswerParser:
        """Returns the parser of answers.

        Args:
            ask: The way of asking.

        Returns:
            The parser.

        Raises:
            TaskError: The task has no parser for this way of asking.
        """
        self.template(ask)
        return AnswerParser(self.parsers[ask])

    def _check_decimal(self, ask: Ask) -> None:
        """Refuses a metric that takes another decimal sign than the parser."""
        sign = self.parsers[ask].decimal
        wrong = "numeric_match" if sign == "," else "numeric_match_comma"
        if wrong in self.metrics and self.parsers[ask].answer_type == "number":
            expected = f"without {wrong!r}, since the decimal sign of parsers.{ask} is {sign!r}"
            hint = (
                f"name {'numeric_match_comma' if sign == ',' else 'numeric_match'!r}, or change parsers.{ask}.decimal"
            )
            raise TaskError(error_message("metrics", of=self.name, expected=expected, got=self.metrics, hint=hint))

    def _try_out(self, ask: Ask) -> None:
        """Renders probes: nothing fails, no item has a blank line, and the parser fits the template."""
        template = self.template(ask)
        for part in ("target", "rationale") if ask == "reasoned" else ("target",):
            if part not in template.shows["answer"]:
                raise TemplateError(f"{template.name}: the macro answer must show item.{part}")
        target = _probe_answer(self.parsers[ask])
        for instruction in self.instructions:
            template.instruction(instruction)
        for text in ("", "probe"):
            fields = dict.fromkeys(self.fields, text)
            question, answer = template.question(fields), template.answer(fields, target, "Because.")
        item = question + answer
        if fold_blank_lines(item).strip(NEWLINES) != item:
            raise TemplateError(
                f"{template.name}: question and answer must have no blank line inside and no line break at their "
                f"outer ends, got {item!r}; write the text right after the tag of the macro"
            )
        parser = self.parser(ask)
        if self.parsers[ask].kind in ("regex", "json"):
            return  # what these read cannot be guessed from their settings
        if parser.read(answer) != parser.canonical(target):
            raise TaskError(
                f"{self.name}: the parser of {ask!r} must read {target!r} back from {answer!r}, "
                f"got {parser.read(answer)!r}; make parsers.{ask} in task.yaml fit {ask}.jinja"
            )


def _put_first(data: dict[str, Any], key: str, value: Any) -> None:
    """Puts a value to the front of a list of texts, unless it stands there somewhere."""
    rest = data.get(key, ())
    if isinstance(rest, list | tuple) and value not in rest:
        data[key] = (value, *rest)


def _with_labels(spec: Any, labels: Any) -> Any:
    """Gives the labels of the task to a parser that needs some and lists none."""
    if not isinstance(spec, Mapping) or spec.get("labels"):
        return spec
    reads = (spec.get("kind"), spec.get("then"))
    return {**spec, "labels": labels} if "label" in reads or "choice" in reads else spec


def _probe_answer(spec: ParserSpec) -> str:
    if spec.labels:
        return spec.labels[0]
    return {"number": "7", "choice": "A"}.get(spec.answer_type, "probe")


def build_task(data: Mapping[str, Any], *, of: str) -> Task:
    """Makes a task from plain values, as they stand in a file.

    Args:
        data: The values by name, as ``Task.model_dump`` gives them.
        of: What messages call the source, for example ``"apples/task.yaml"``.

    Returns:
        The task.

    Raises:
        TaskError: A value is wrong; says which, and what it must be.
        TemplateError: A template is broken or refused.
    """
    known = tuple(Task.model_fields)
    for key in data:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "remove it"
            hint = "rename it to 'parsers'" if key == "readers" else hint  # its name until artifacts of format 2
            raise TaskError(error_message("a key", of=of, expected=one_of(known), got=key, hint=hint))
    try:
        return Task.model_validate(data)
    except ValidationError as error:
        raise _as_task_error(error, of) from None


def _as_task_error(error: ValidationError, of: str) -> TaskError:
    """Turns pydantic's list of faults into one error; a fault found by our own checks keeps its class."""
    texts = []
    for fault in error.errors():
        own = fault.get("ctx", {}).get("error")
        if isinstance(own, TaskError):
            return own
        where = ".".join(str(part) for part in fault["loc"] if part != "[key]")
        message = fault["msg"].removeprefix("Value error, ")
        if message.startswith("Input should be "):
            hint = "put it in quotes" if fault["type"] == "string_type" else ""
            expected = message.removeprefix("Input should be ")
            texts.append(error_message(where, of=of, expected=expected, got=fault["input"], hint=hint))
        else:
            texts.append(f"{of}: {where}: {message}" if where else f"{of}: {message}")
    return TaskError(" | ".join(texts[:5]))


@opens(TaskError, of="load_task", which="source", expected="a name or a path")
def load_task(source: str | os.PathLike[str]) -> Task:
    """Loads a task.

    Args:
        source: The name of a shipped task, or the path of a folder (a ``Path``, a text with a path
            separator, or the name of an existing folder that is no shipped task). A path always means the folder:
            ``"./tickets"`` is the local one, whatever is shipped.

    Returns:
        The task, with its templates compiled and tried out.

    Raises:
        TaskError: The task is unknown, incomplete or contradicts itself; says the file, the key and what to
            do. Or the name is that of a shipped and of a local task; names both.
        TemplateError: A template is broken or refused.
    """
    folder = _find_folder(source)
    check_name(folder.name, of="task folder")
    label = f"{folder.name}/task.yaml"
    data = read_mapping(read_text(folder, "task.yaml"), label)
    for key in ("name", "templates"):
        if key in data:
            raise TaskError(f"{label}: {key!r} must not be given; it follows from the folder's own names")
    templates = {}
    for path in sorted(folder.glob("*.jinja")):
        if path.stem not in _ASKS:
            expected = one_of(f"{ask}.jinja" for ask in _ASKS)
            raise TaskError(error_message("a template", of=folder.name, expected=expected, got=path.name))
        templates[path.stem] = read_text(folder, path.name)
    return build_task({**data, "name": folder.name, "templates": templates}, of=label)


def examples_source(task: Task) -> str | Path:
    """Says where ``load_examples`` finds the examples of a task that is known by its settings alone.

    A saved predictor brings its task along, and the folder of a user may have the name of a shipped task. Examples
    of the shipped task would then be scored as if they were the user's.

    Args:
        task: The task, for example that of a loaded predictor.

    Returns:
        The folder of the shipped task if the task is that one, else the task's name.

    Raises:
        TaskError: The task has the name of a shipped task and is another one.

    Example:
        >>> examples_source(load_task("apples")).name
        'apples'
    """
    if task.name not in list_tasks():
        return task.name
    folder = task_folder(task.name)
    if load_task(folder) != task:
        hint = "pass the examples it belongs to (--data)"
        raise TaskError(f"task {task.name!r} has the name of a shipped task and is another one; {hint}")
    return folder


def _find_folder(source: str | os.PathLike[str]) -> Path:
    text = os.fspath(source)
    if not text or "\0" in text:
        raise TaskError(error_message("source", of="load_task", expected="a name or a path", got=text))
    if not is_path(source):
        shipped = resolve_name(text, of="load_task")
        if shipped is not None or not os.path.isdir(text):
            return shipped or task_folder(text)
    if not os.path.isdir(text):
        raise TaskError(error_message("folder", of="load_task", expected="an existing folder", got=text))
    return Path(text).resolve()

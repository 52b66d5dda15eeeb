"""Options made from settings: what a settings file takes is an option of the same name, with the same documentation."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from typer.core import TyperCommand

__all__ = ["Setting", "SettingsCommand", "climb_settings", "given_settings", "strategy_settings"]

_GIVEN = "promptkit.settings"


@dataclass(frozen=True)
class Setting:
    """One setting that is also an option.

    Attributes:
        name: Its name in settings files, and with dashes that of the option.
        annotation: Its type.
        help: Its documentation.
        group: Title of the part of the help in which it stands; "" for that of all options.
        option: The option where it has another name, because it is repeated.
    """

    name: str
    annotation: Any
    help: str
    group: str = ""
    option: str = ""

    @property
    def flag(self) -> str:
        """The option."""
        return self.option or f"--{self.name.replace('_', '-')}"

    def parameter(self) -> inspect.Parameter:
        """Returns the setting as a parameter of a command; its default is ``None``, for not given."""
        name = self.flag
        kind, limits = _kind(self.annotation)
        info: dict[str, Any] = {"help": self.help, "rich_help_panel": self.group or None}
        annotation: Any = kind | None if kind in (int, float, str, bool) else kind
        default: Any = None
        if kind in (int, float):
            info |= limits
        elif kind is bool:
            name += f"/--no-{name.removeprefix('--')}"
        elif kind is dict:
            annotation, default, info["metavar"] = list[str], [], "NAME=VALUE"
        elif get_origin(kind) is Literal:
            annotation = kind | None
        elif kind is not str:
            annotation, info["metavar"] = str | None, _metavar(self.annotation)
        option = typer.Option(name, **info)
        return inspect.Parameter(
            self.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, option]
        )

    def read(self, value: Any) -> Any:
        """Turns the value of the option into that of the setting.

        Raises:
            typer.BadParameter: The text is none of what the setting takes.
        """
        kind, _ = _kind(self.annotation)
        if value is None or (kind is dict and not value):
            return None
        if kind is dict:
            pairs = [text.partition("=") for text in value]
            names = {key.strip() for key, _, found in pairs if found.strip()} - {""}
            if len(names) < len(pairs):
                raise typer.BadParameter(f"must be NAME=VALUE, each name once, got {value!r}", param_hint=self.flag)
            return {key.strip(): found for key, _, found in pairs}
        if kind in (int, float, str, bool) or get_origin(kind) is Literal:
            return value
        try:
            return _parse(value, _members(self.annotation))
        except ValueError:
            choices = " or ".join(_described(one) for one in _members(self.annotation))
            raise typer.BadParameter(f"must be {choices}, got {value!r}", param_hint=self.flag) from None


class SettingsCommand(TyperCommand):
    """A command that has options for settings, made when they are needed: reading settings takes a while."""

    settings: Callable[[], list[Setting]]

    def get_params(self, ctx: Any) -> list[Any]:
        """Returns the options of the command, and those of the settings."""
        own = super().get_params(ctx)
        taken = {parameter.name for parameter in own}
        return [*own, *(one for one in self._made() if one.name not in taken)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the command line; settings do not go to the function, which asks ``given_settings`` for them."""
        rest = super().parse_args(ctx, args)
        own = {parameter.name for parameter in self.params}
        found = {one.name: one for one in type(self).settings() if one.name not in own}
        ctx.meta[_GIVEN] = {name: one.read(ctx.params.pop(name, None)) for name, one in found.items()}
        return rest

    def _made(self) -> list[Any]:
        """The options; made anew where a plugin has brought other settings."""
        settings = type(self).settings()
        if vars(self).get("_of") != settings:
            command = typer.Typer(add_completion=False)

            def carrier(**values: Any) -> None:
                """Has the options."""

            parameters = [one.parameter() for one in settings]
            carrier.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
            carrier.__annotations__ = {one.name: one.annotation for one in parameters}
            command.command()(carrier)
            self._of, self._parameters = settings, typer.main.get_command(command).params
        return self._parameters


def given_settings(ctx: Any) -> dict[str, Any]:
    """Returns the settings that a command line has, by name; ``None`` for those that it does not give."""
    found: dict[str, Any] = ctx.meta.get(_GIVEN, {})
    return found


def strategy_settings(only: Iterable[str] = ()) -> list[Setting]:
    """Lists the settings of all registered strategies.

    Args:
        only: Names to which the list is cut; all by default.

    Returns:
        Settings by name; those of the same strategies stand together.
    """
    from promptkit.adapters.settings import strategy_fields

    wanted, uses = set(only), dict[str, dict[str, Any]]()
    for kind, fields in strategy_fields().items():
        for name, field in fields.items():
            if not wanted or name in wanted:
                uses.setdefault(name, {})[kind] = field
    made = []
    for name, fields in uses.items():
        first, *others = fields.values()
        annotation, text = first.annotation, _plain(first.text)
        if any(one.annotation != annotation for one in others):
            annotation = _without_limits([one.annotation for one in fields.values()])
            texts = {one.text: [kind for kind in fields if fields[kind].text == one.text] for one in fields.values()}
            text = " ".join(f"{', '.join(kinds)}: {_plain(own)}" for own, kinds in texts.items())
        if all(one.default == first.default for one in others):
            text += _default(first.default)
        made.append(Setting(name, annotation, text, f"Settings of {', '.join(fields)}"))
    return sorted(made, key=lambda one: -one.group.count(","))


def climb_settings() -> list[Setting]:
    """Lists the settings of a climb, those of its budget among them."""
    from promptkit.config import BudgetConfig, ClimbConfig
    from promptkit.records import field_docs

    made, group = [], "Settings, which are keys of the YAML file too"
    for model in (ClimbConfig, BudgetConfig):
        docs = field_docs(model)
        for name, info in model.model_fields.items():
            if name not in ("task", "budget"):
                annotation = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
                option = "--column" if name == "columns" else ""
                made.append(Setting(name, annotation, _plain(docs[name]) + _default(info.default), group, option))
    return made


def _default(value: object) -> str:
    """Tells a default of which there is something to tell."""
    known = isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""
    return f" Default: {value}." if known else ""


def _plain(text: str) -> str:
    """Takes out the marks of docstrings, and keeps brackets from being read as marks of the terminal."""
    return re.sub(r"\[(?=[a-z/])", r"\\[", text.replace("``", ""))


def _members(annotation: Any) -> list[Any]:
    """Takes a union apart; ``None`` is none of its parts, and limits are left out."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return [part for one in get_args(annotation) for part in _members(one)]
    return [] if annotation is type(None) else [annotation]


def _limits(annotation: Any) -> dict[str, float]:
    """Finds the inclusive limits of a number; what lies beyond others is told by the settings themselves."""
    found: dict[str, float] = {}
    if get_origin(annotation) is Annotated:
        base, *rest = get_args(annotation)
        for one in rest:
            for part in [one, *getattr(one, "metadata", ())]:
                if getattr(part, "ge", None) is not None:
                    found["min"] = part.ge
                if getattr(part, "le", None) is not None:
                    found["max"] = part.le
        return found | _limits(base)
    if get_origin(annotation) in (Union, types.UnionType):
        for one in get_args(annotation):
            found |= _limits(one)
    return found


def _kind(annotation: Any) -> tuple[Any, dict[str, float]]:
    """Tells which kind of option a type makes: a number, text, flag, choice, repeated pair, or ``None`` for others."""
    members = _members(annotation)
    if len(members) != 1:
        return None, {}
    (one,) = members
    if one in (int, float):
        return one, _limits(annotation)
    if one in (str, bool) or get_origin(one) is Literal:
        return one, {}
    return (dict, {}) if get_origin(one) is dict else (None, {})


def _without_limits(annotations: list[Any]) -> Any:
    """Joins types that differ, without the limits in which they do; choices become one list."""
    parts = list(dict.fromkeys(part for one in annotations for part in _members(one)))
    choices = [choice for part in parts if get_origin(part) is Literal for choice in get_args(part)]
    rest = [part for part in parts if get_origin(part) is not Literal]
    return Union[(*([Literal[tuple(dict.fromkeys(choices))]] if choices else []), *rest)]


def _described(one: Any) -> str:
    if get_origin(one) is Literal:
        return " or ".join(str(choice) for choice in get_args(one))
    if get_origin(one) is dict:
        return "NAME=X"
    if get_origin(one) is tuple:
        return "a list such as a,b"
    return {int: "a whole number", float: "a number"}.get(one, "a text")


def _metavar(annotation: Any) -> str:
    """Shows what an option of several types takes."""
    shown = []
    for one in _members(annotation):
        origin = get_origin(one)
        if origin is Literal:
            shown += [str(choice) for choice in get_args(one)]
        else:
            shown.append({tuple: "NAME[,NAME...]", dict: "NAME=X", int: "N", float: "X"}.get(origin or one, "TEXT"))
    return "|".join(shown)


def _parse(text: str, members: list[Any]) -> Any:
    """Reads a text as the first of several types that takes it, texts last."""
    for one in sorted(members, key=lambda member: member is str):
        if get_origin(one) is Literal and text in get_args(one):
            return text
        if get_origin(one) is dict and "=" in text:
            name, _, value = text.rpartition("=")
            return {name.strip(): float(value) if get_args(one)[1] is float else value}
        if get_origin(one) is tuple and text.strip():
            return [part.strip() for part in text.split(",") if part.strip()]
        if one is int and re.fullmatch(r"-?[0-9]+", text):
            return int(text)
        if one is float and "=" not in text:
            return float(text)
        if one is str:
            return text
    raise ValueError(text)

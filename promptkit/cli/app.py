"""The application: its commands, and what becomes of errors and warnings on the way to the terminal."""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperCommand, TyperGroup

import promptkit
from promptkit.cli import (
    chat,
    climb,
    compare,
    demo,
    doctor,
    estimate,
    export,
    fit,
    interrupts,
    listing,
    report,
    run,
    tasks,
    vote,
)
from promptkit.cli.options import wants_traceback
from promptkit.cli.settings_options import SettingsCommand, climb_settings, given_settings, strategy_settings
from promptkit.cli.show import OutputError, say, say_error
from promptkit.cli.streams import guarded
from promptkit.errors import DataError, PromptkitError
from promptkit.registry import load_plugin

__all__ = ["app"]

# The base of every error of arguments, which typer takes from click or from its own copy of click.
_UsageFault: Any = typer.BadParameter.__mro__[2]


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Prints a warning without the source line that raised it, which tells a user of the command nothing."""
    say_error(f"warning: {message}")


def _show_usage(error: Any) -> int:
    """Prints what is wrong with the arguments, and returns the exit code.

    Not left to typer, which prints arguments as they are, and cuts long messages into a box.
    """
    context = getattr(error, "ctx", None)
    if type(error).__name__ != "NoArgsIsHelpError":  # whose help was printed
        if context is not None:
            say_error(context.get_usage())
            say_error(f"Try '{context.command_path} {context.help_option_names[-1]}' for help.")
        message = re.sub(r"[\n\t]+", " ", error.format_message())
        say_error(f"error: {message}")
    return int(error.exit_code)


class _Command(TyperCommand):
    """A command that says what an interrupt leaves of it."""

    def invoke(self, ctx: Any) -> Any:
        interrupts.running(str(ctx.info_name), {**ctx.params, **given_settings(ctx)})
        return super().invoke(ctx)


class _Fit(_Command, SettingsCommand):
    """``fit``, with the settings of every strategy as options."""

    settings = staticmethod(strategy_settings)


class _Estimate(_Command, SettingsCommand):
    """``estimate``, with those settings of strategies that decide what is trained."""

    settings = staticmethod(lambda: strategy_settings(estimate.SHAPE))


class _Climb(_Command, SettingsCommand):
    """``climb``, with what its YAML file may hold as options."""

    settings = staticmethod(climb_settings)


class _Group(TyperGroup):
    """A group that ends every fault in one line and an exit code."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Runs a command, and ends the process in standalone mode."""

        def work() -> int:
            try:
                code = TyperGroup.main(self, *args, **{**extra, "standalone_mode": False})
            except _UsageFault as error:
                return _show_usage(error)
            return code if isinstance(code, int) else 0

        with interrupts.listening():
            try:
                code = guarded(work)
            except KeyboardInterrupt:  # after the command, or in what surrounds it
                code = interrupts.code()
            if interrupts.pressed() and code == interrupts.code():
                interrupts.tell()
        if standalone_mode:
            sys.exit(code)
        return code

    def invoke(self, ctx: Any) -> Any:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except (typer.Exit, _UsageFault, OutputError, BrokenPipeError):  # the last: typer prints help by itself
                raise
            except (Exception, KeyboardInterrupt) as error:
                if isinstance(error, KeyboardInterrupt) or interrupts.pressed():
                    interrupts.tell()
                    raise typer.Exit(interrupts.code()) from None
                if wants_traceback(ctx):
                    say_error(traceback.format_exc().rstrip("\n"), one_line=False)
                else:
                    first, *rest = _told(error)
                    say_error(f"error: {first}")
                    for line in rest:
                        say_error(f"  {line}")
                raise typer.Exit(1) from None


def _told(error: Exception) -> list[str]:
    """Says what went wrong: one line, and after it the rows or splits at fault, which no text in them can leave."""
    if isinstance(error, DataError):
        return [line.strip() for line in str(error).splitlines()]
    return [_reason(error)]


def _reason(error: Exception) -> str:
    if isinstance(error, PromptkitError):
        return str(error)
    if isinstance(error, OSError):
        name = f"{os.fspath(error.filename)!s}: " if isinstance(error.filename, str | os.PathLike) else ""
        return f"{name}{error.strerror or error}; see that the file or folder is there and may be used"
    if isinstance(error, MemoryError):
        return "memory is short; use a smaller model, batch or data set"
    return f"{type(error).__name__}: {error}; this is a fault of promptkit: --traceback shows where"


app = typer.Typer(
    name="promptkit",
    cls=_Group,
    help="Adapts language models by prompting first, and says with intervals and costs how far that gets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"promptkit {promptkit.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
    plugin: Annotated[
        list[str],
        typer.Option("--plugin", metavar="FILE", help="Run a Python file that registers pieces; repeat it for more."),
    ] = [],  # noqa: B006 - typer copies it
) -> None:
    """Takes the options that stand before a command."""
    for path in plugin:
        load_plugin(path)


app.command("tasks", cls=_Command)(tasks.tasks)
app.command("new", cls=_Command)(tasks.new)
app.command("fit", cls=_Fit)(fit.fit)
app.command("predict", cls=_Command)(run.predict)
app.command("eval", cls=_Command)(run.evaluate)
app.command("vote", cls=_Command)(vote.vote)
app.command("climb", cls=_Climb)(climb.climb)
app.command("compare", cls=_Command)(compare.compare)
app.command("report", cls=_Command)(report.report)
app.command("chat", cls=_Command)(chat.chat)
app.command("estimate", cls=_Estimate)(estimate.estimate)
app.command("export", cls=_Command)(export.export)
app.command("list", cls=_Command)(listing.list_pieces)
app.command("demo", cls=_Command)(demo.demo)
app.command("doctor", cls=_Command)(doctor.doctor)

"""The application: its commands, and what becomes of errors and warnings on the way to the terminal."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

import promptkit
from promptkit.cli import chat, climb, compare, demo, doctor, domains, export, fit, plan, report, run, vote
from promptkit.cli.options import wants_traceback
from promptkit.cli.show import printable
from promptkit.errors import PromptkitError

__all__ = ["app"]


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Prints a warning without the source line that raised it, which tells a user of the command nothing."""
    print(f"warning: {printable(str(message))}", file=sys.stderr)


class _Group(TyperGroup):
    """A group that turns promptkit's errors into one line and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except PromptkitError as error:
                if wants_traceback(ctx):
                    raise
                print(f"error: {printable(str(error))}", file=sys.stderr)
                raise typer.Exit(1) from None


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
        print(f"promptkit {promptkit.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Takes the options that stand before a command."""


app.command("tasks")(domains.tasks)
app.command("new")(domains.new)
app.command("fit")(fit.fit)
app.command("predict")(run.predict)
app.command("eval")(run.evaluate)
app.command("vote")(vote.vote)
app.command("climb")(climb.climb)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.command("chat")(chat.chat)
app.command("plan")(plan.plan)
app.command("export")(export.export)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)

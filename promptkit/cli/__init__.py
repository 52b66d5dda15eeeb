"""The command line: one subcommand per public verb, no logic of its own.

app.py      the application: version, errors as one line, the commands put together
options.py  options that several commands share
show.py     tables, JSON and progress bars
inputs.py   questions and stored samples from a file or standard input
domains.py  ``tasks`` and ``new``
fit.py      ``fit``
run.py      ``predict`` and ``eval``
climb.py    ``climb``
vote.py     ``vote``
plan.py     ``plan``
export.py   ``export``
chat.py     ``chat``
demo.py     ``demo``
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Runs the command line with the arguments of the process, and ends the process."""
    # Imported here, so that ``import promptkit.cli`` by tools such as documentation builders does not need typer.
    from promptkit.cli.app import app

    app()

"""The command line: one subcommand per public verb, no logic of its own.

app.py         the application: version, errors as one line, the commands put together
options.py     options that several commands share
show.py        all printing: text, tables, JSON and progress bars
streams.py     encodings, full disks and closed pipes
interrupts.py  Ctrl-C
failures.py    requests that failed, and the exit codes for them
inputs.py      questions and stored samples from a file or standard input
tasks.py     ``tasks`` and ``new``
fit.py         ``fit``
run.py         ``predict`` and ``eval``
climb.py       ``climb``
vote.py        ``vote``
listing.py     ``list``
plan.py        ``plan``
export.py      ``export``
chat.py        ``chat``
demo.py        ``demo``
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Runs the command line with the arguments of the process, and ends the process."""
    import os

    try:
        # Imported here, so that ``import promptkit.cli`` by tools such as documentation builders does not need typer.
        from promptkit.cli.app import app
        from promptkit.cli.interrupts import INTERRUPTED
    except KeyboardInterrupt:  # nothing has begun
        from promptkit.cli.show import flush, say_error

        say_error("interrupted: nothing was changed")
        flush()
        os._exit(130)
    try:
        app()
    except KeyboardInterrupt:  # in the moment before the process ends
        os._exit(INTERRUPTED)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            os._exit(INTERRUPTED)  # threads that wait for a server would keep the process
        raise

"""``promptkit report``: a decision record as one HTML file."""

from __future__ import annotations

from typing import Annotated

import typer

from promptkit.cli.options import Traceback
from promptkit.cli.show import say

__all__ = ["report"]


def report(
    record: Annotated[
        str, typer.Argument(metavar="RECORD", help="The record.json of a climb, or the folder in which it was kept.")
    ],
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="Where the page goes.")] = "report.html",
    traceback: Traceback = False,
) -> None:
    """Write the decision record of a climb as one HTML file.

    It needs no network and nothing beside it, and can be read by whoever gets it.

    promptkit report runs/tickets --out tickets.html
    """
    from promptkit.html import write_report
    from promptkit.ladder import load_record

    found = load_record(record)
    write_report(found, out)
    say(f"{found.answer}\n{out} is written")

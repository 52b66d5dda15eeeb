"""``promptkit list``: what can be named in settings."""

from __future__ import annotations

from typing import Annotated

import typer

from promptkit.cli.options import Json, Traceback, import_pieces
from promptkit.cli.show import print_json, print_table
from promptkit.errors import one_of
from promptkit.registry import GROUPS, find, registered_names

__all__ = ["list_pieces"]


def list_pieces(
    group: Annotated[str, typer.Argument(metavar="[GROUP]", help=f"{', '.join(GROUPS)}; all of them by default.")] = "",
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """List strategies, metrics, aggregators, stop rules, selectors and backends by name.

    Those of installed packages are among them, and those of files given with --plugin:

        promptkit --plugin my_metric.py list metric
    """
    if group and group not in GROUPS:
        raise typer.BadParameter(f"must be {one_of(GROUPS)}, got {group!r}", param_hint="GROUP")
    rows: list[tuple[str, str, str]] = []
    for one in GROUPS:
        if group in ("", one):
            import_pieces(one)
            rows += [(one, name, find(one, name, of="list").summary) for name in registered_names(one)]
    if json:
        print_json([{"group": one, "name": name, "summary": summary} for one, name, summary in rows])
    else:
        print_table(["group", "name", "what it is"], rows)

"""Small tables for notebooks: what ``_repr_html_`` of reports, comparisons and decision records returns."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["html_table"]


def html_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[object]], notes: Sequence[str] = ()) -> str:
    """Writes a table that needs no style sheet and asks for nothing; whatever is in a text stays text.

    Args:
        caption: What stands above it.
        head: Names of the columns.
        rows: Cells by row, one for each column.
        notes: Lines below it.

    Returns:
        HTML of a ``<div>``.

    Example:
        >>> html_table("a < b", ["n"], [[3]])
        '<div><p>a &lt; b</p><table><tr><th>n</th></tr><tr><td>3</td></tr></table></div>'
    """
    lines = [_row("th", head), *(_row("td", row) for row in rows)]
    below = "".join(f"<p><small>{_text(note)}</small></p>" for note in notes)
    return f"<div><p>{_text(caption)}</p><table>{''.join(lines)}</table>{below}</div>"


def _row(tag: str, cells: Sequence[object]) -> str:
    return "<tr>" + "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells) + "</tr>"


def _text(value: object) -> str:
    """Escapes a text; lone surrogates, which no HTML can hold, are written as escapes."""
    return escape(str(value).encode("utf-8", "backslashreplace").decode())

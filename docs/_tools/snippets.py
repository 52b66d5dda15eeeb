"""Runs the Python of a Markdown page, and compares or writes the output that the page shows.

All ``python`` blocks of a page run in order, in one namespace and a temporary folder. A ``text`` block right after a
``python`` block is what that block prints. ``python docs/_tools/snippets.py`` checks the pages, ``--write`` updates
them; ``tests/test_docs.py`` does the check.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(DOCS.parent / "examples"))  # chat_server.py
BLOCK = re.compile(r"^```(?P<kind>\w+)[^\n]*\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(r"\s*^```text[^\n]*\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
# Seconds differ from machine to machine; they are compared as signs.
SECONDS = re.compile(r"\d+(\.\d+)?(?= ?(s|seconds|min)\b)")


def pages() -> list[Path]:
    """Every Markdown page of the site that has Python in it, and README.

    Not ``extending.md``: it shows files of ``examples/extending/``, which have tests of their own and register names.
    """
    found = sorted(path for path in DOCS.rglob("*.md") if "```python" in path.read_text(encoding="utf-8"))
    found = [path for path in found if path.name != "extending.md"]
    return [DOCS.parent / "README.md", *found]


def run_page(text: str) -> str:
    """Runs the Python of a page, and returns the page with the output that its blocks print.

    Args:
        text: The page.

    Returns:
        The page; equal to ``text`` if every output is what is shown.
    """
    scope: dict[str, object] = {"__name__": "__main__"}
    parts, at = [], 0
    for block in BLOCK.finditer(text):
        if block["kind"] != "python":
            continue
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(block["body"], "<page>", "exec", dont_inherit=True), scope)
        if shown := OUTPUT.match(text, block.end()):
            parts += [text[at : shown.start("body")], out.getvalue()]
            at = shown.end("body")
    return "".join(parts) + text[at:]


def without_seconds(text: str) -> str:
    """Masks what differs between machines: times, and the spaces that align them."""
    return re.sub(r"[ ─]+", " ", SECONDS.sub("#", text))


def main() -> int:
    """Checks or writes the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    wrong = 0
    for page in [path.resolve() for path in options.pages] or pages():
        before, home = page.read_text(encoding="utf-8"), Path.cwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                after = run_page(before)
            finally:
                os.chdir(home)
        if without_seconds(after) != without_seconds(before):
            wrong += 1
            print(f"{page}: the output differs")
            if options.write:
                page.write_text(after, encoding="utf-8")
    return wrong if not options.write else 0


if __name__ == "__main__":
    sys.exit(main())

"""The page in a real browser, where one is installed: no error, no request, no alert, and the filter filters."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from promptkit.html import render_report
from tests.support.hostile import HOSTILE
from tests.support.sample import sample

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")]

FILTER = """
const form = document.getElementById("filter");
const visible = () => [...document.querySelectorAll("#rows > tr")].filter((row) => row.offsetParent !== null);
const told = [];
const ask = (words, show, other) => {
  Object.assign(form.elements.words, { value: words });
  form.elements.show.value = show;
  form.elements.other.value = other;
  form.dispatchEvent(new Event("input"));
  told.push(visible().map((row) => row.dataset.scores).join(";") + "|" + document.getElementById("shown").textContent);
};
ask("", "better", "0"); ask("", "worse", "0"); ask("", "differ", ""); ask("", "low", ""); ask("", "failed", "");
ask("Ticket 17 parcel", "all", ""); ask("no such words", "all", "");
const page = document.documentElement;
told.push(`wide ${page.scrollWidth - page.clientWidth} of ${innerWidth}`);
document.title = told.join("#");
parent.postMessage(document.title, "*");
"""


class Canary(BaseHTTPRequestHandler):
    """Notes every request."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def canary() -> Iterator[tuple[str, list[str]]]:
    """A server that nobody should ask: its address, and what was asked."""
    handler = type("Handler", (Canary,), {"seen": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}", handler.seen
        server.shutdown()
        thread.join()


FRAME = """<title>nothing</title><body style="margin: 0">
<script>addEventListener("message", (event) => { document.title = event.data; });</script>
<iframe src="page.html" style="border: 0; width: %dpx; height: 900px"></iframe>
"""
"""A page around the page: no window of Chromium is narrower than 500 pixels."""


def browse(text: str, folder: Path, width: int = 0) -> tuple[str, list[str]]:
    """Opens a page, in a frame if it has a width; returns the document afterwards, and what is on the console."""
    (folder / "page.html").write_text(text, encoding="utf-8")
    (folder / "frame.html").write_text(FRAME % width, encoding="utf-8")
    address = (folder / ("frame.html" if width else "page.html")).as_uri()
    assert BROWSER is not None
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
             "--disable-component-update", "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}"]  # fmt: skip
    run = subprocess.run(
        [BROWSER, *quiet, "--window-size=1400,900", "--virtual-time-budget=4000", "--dump-dom", address],
        capture_output=True,
        timeout=240,
    )
    return run.stdout.decode(), re.findall(r"CONSOLE.*", run.stderr.decode(errors="replace"))


def test_nothing_hostile_runs_or_asks(canary: tuple[str, list[str]], tmp_path: Path) -> None:
    address, seen = canary
    turn = itertools.cycle([text.replace("evil.example", address) for text in HOSTILE])
    text = render_report(sample(items=40, text=lambda text: f"{text} {next(turn)}"))
    document, console = browse(text, tmp_path)
    assert (console, seen) == ([], [])
    assert "40 of 40 rows</output>" in document  # the page's own script ran to its end
    # The twin: the same page without escapes and policy does ask.
    loose = f"<img src=http://{address}/pixel><script>console.log('ran')</script>"
    _, console = browse(re.sub("<meta http-equiv[^>]*>", loose, text), tmp_path)
    assert seen == ["/pixel"] and any("ran" in line for line in console)


def test_the_policy_alone_stops_scripts_and_pictures(canary: tuple[str, list[str]], tmp_path: Path) -> None:
    address, seen = canary
    bad = f"<main><img src=http://{address}/pixel onerror=alert(1)><script>document.title = 'ran'</script>"
    document, console = browse(render_report(sample(items=20)).replace("<main>", bad), tmp_path)
    assert seen == [] and "<title>ran" not in document
    assert len(console) >= 2 and all("Content Security Policy" in line for line in console)


@pytest.mark.parametrize("width", [360, 1200])
def test_the_filter_filters_and_the_page_does_not_scroll_sideways(width: int, tmp_path: Path) -> None:
    record = sample(items=60)
    digest = base64.b64encode(hashlib.sha256(FILTER.encode()).digest()).decode()
    text = render_report(record).replace("script-src ", f"script-src &#39;sha256-{digest}&#39; ")
    text = text.replace("</body>", f"<script>{FILTER}</script></body>")
    document, console = browse(text, tmp_path, width)
    assert console == []
    title = re.search("<title>(.*?)</title>", document)
    assert title is not None
    *told, wide = title[1].split("#")
    assert wide == f"wide 0 of {width}"
    rows = [[float(one) for one in row.split()] for row in re.findall('data-scores="([^"]*)"', text)]
    wanted = [
        [row for row in rows if row[-1] > row[0]],
        [row for row in rows if row[-1] < row[0]],
        [row for row in rows if len(set(row)) > 1],
        [row for row in rows if row[-1] < 1],
    ]
    for found, expected in zip(told, wanted, strict=False):
        shown, _, note = found.partition("|")
        assert [[float(one) for one in row.split()] for row in shown.split(";") if row] == expected
        assert note == f"{len(expected)} of 60 rows"
    assert len(wanted[0]) > len(wanted[1])
    failed, words, nothing = (found.rpartition("|")[2] for found in told[4:])
    broken = text.count('data-failed="yes"')
    assert failed == f"{broken} of 60 rows"
    assert words in ("0 of 60 rows", "1 of 60 rows") and nothing == "0 of 60 rows"

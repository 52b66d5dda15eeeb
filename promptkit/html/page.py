"""From a decision record to one HTML file: no network, nothing active but its own small script."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import time
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from promptkit.errors import ArtifactError, opens
from promptkit.html import charts, text
from promptkit.html.arms import judged_arms
from promptkit.html.items import side_by_side
from promptkit.html.payback import UNITS, paybacks
from promptkit.ladder.record import Record

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render_report", "write_report"]

_OLD = 3600  # seconds after which a file that is not finished never will be


def render_report(record: Record) -> str:
    """Renders a decision record as a page that is self-contained: style, script and charts are in it.

    Every text of the record is escaped. The page's policy (Content-Security-Policy) lets no address be loaded and no
    script run but the one that is known by its hash, so that nothing in data, prompts or answers can become active.

    Args:
        record: The record of a climb, finished or still running.

    Returns:
        The text of the file. One record always gives the same.

    Example:
        >>> from promptkit.ladder.record import Record
        >>> splits = {name: {"items": 1, "fingerprint": name} for name in ("train", "dev", "test")}
        >>> record = Record.model_validate({
        ...     "promptkit": "0.1.0", "status": "running", "answer": "Is 1 < 2?",
        ...     "task": {"name": "t", "description": "", "fields": [], "labels": [], "metric": "m", "metrics": ["m"]},
        ...     "model": {"name": "m", "fingerprint": "f", "context_window": 512},
        ...     "data": {"name": "d", **splits, "leakage": []},
        ...     "settings": {"target": {}, "minutes": None, "tokens": None, "calls": None, "margin": 0.02,
        ...                  "confidence": 0.95, "seed": 0, "block": 20, "rungs": []},
        ... })
        >>> '<h1 dir="auto">Is 1 &lt; 2?</h1>' in render_report(record)
        True
    """
    arms = judged_arms(record)
    target = next(iter(record.settings.target.values()), None)
    style, script = _part("style.css"), _part("script.js")
    template = _environment().get_template("report.html")
    page = template.render(
        record=record,
        arms=arms,
        winner=next((arm for arm in arms if arm.won), None),
        target=target,
        scatters=list(filter(None, (charts.scatter(arms, unit, target) for unit in UNITS))),
        curves=list(filter(None, (charts.curves(arms, unit) for unit in UNITS))),
        paybacks={unit: paybacks(arms, unit) for unit in UNITS},
        items=side_by_side(record, arms),
        style=style,
        script=script,
        policy="default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src {_hash(style)}; script-src {_hash(script)}",
    )
    return text.visible(page)  # the template holds no such sign, so all of them came from the record


@opens(ArtifactError, of="write_report", place=1)
def write_report(record: Record, path: str | os.PathLike[str]) -> None:
    """Writes a decision record as one HTML file, in one step: a reader finds the old file or the new one.

    Args:
        record: The record, as ``climb(...).record`` or ``load_record`` gives it.
        path: The file, for example ``"report.html"``.

    Raises:
        ArtifactError: The file cannot be written.
    """
    target = Path(os.path.abspath(path))
    if target.exists() and not target.is_file():  # a device or pipe would be replaced by the file
        raise ArtifactError(f"{target.name} could not be written: it must be a new file, or a regular one to replace")
    name = f".{target.name[:40]}.promptkit-"
    stage = target.parent / f"{name}{os.getpid()}.part"
    # Bytes: the policy knows style and script by their hashes, which other line ends would change.
    data = render_report(record).encode("utf-8")
    try:
        stage.unlink(missing_ok=True)  # never written through: it may be a link that somebody left there
        with stage.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(stage, target)
    except OSError as error:
        raise ArtifactError(f"{target.name} could not be written: {error.strerror or error}") from error
    finally:
        _remove(stage)
    for entry in os.scandir(target.parent):  # left by processes that were killed
        if entry.name.startswith(name) and entry.name.endswith(".part") and _is_old(entry):
            _remove(Path(entry.path))


def _is_old(entry: os.DirEntry[str]) -> bool:
    """Tells whether no process can still be writing a file."""
    try:
        return entry.is_file(follow_symlinks=False) and time.time() - entry.stat().st_mtime > _OLD
    except OSError:  # gone meanwhile
        return False


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # takes longer to import than most commands run

    environment = Environment(
        loader=PackageLoader("promptkit.html", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("as_json", "count", "cut", "duration", "plain", "score", "short", "signed", "size")
    environment.filters.update({name: getattr(text, name) for name in names})
    environment.globals.update(running=charts.running)
    return environment


def _part(name: str) -> str:
    """Reads style or script; they hold no text of the record."""
    return resources.files("promptkit.html").joinpath("page", name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

"""What README says is so: its code runs, and its tree is the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tree() -> tuple[set[str], set[str]]:
    block = next(block for block in README.split("```")[1::2] if block.startswith("\npromptkit/"))
    top = set(re.findall(r"^(\w+/)", block, flags=re.M))
    rooms = set(re.findall(r"^  ([\w.]+/?) ", block, flags=re.M))
    return top, rooms


def test_the_tree_of_readme_equals_the_files() -> None:
    top, rooms = tree()
    found = {p.name + "/" * p.is_dir() for p in (ROOT / "promptkit").iterdir() if not p.name.startswith(("__", "."))}
    assert rooms == found - {"py.typed"}
    assert top == {"promptkit/", "templates/", "docs/", "examples/", "benchmarks/", "tests/"}
    assert all((ROOT / name).is_dir() for name in top)


def test_the_first_screen_has_the_two_commands() -> None:
    assert "make demo" in "\n".join(README.splitlines()[:12])
    assert "make test" in "\n".join(README.splitlines()[:12])


def test_the_code_of_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, flags=re.S))
    assert code.count("pk.") > 8
    code = code.replace("data.test, metrics", "data.test[:5], metrics")
    code = code.replace(
        "tuned.fit(data.train, backend, dev=data.dev", "tuned.fit(data.train[:8], backend, dev=data.dev[:4]"
    )
    scope: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), scope)
    assert (tmp_path / "my-adapter").is_dir()
    assert scope["prediction"] is not None

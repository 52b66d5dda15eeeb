"""README stays short, and its first screen has what a newcomer needs; its snippets run in ``test_docs.py``."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STRUCTURE = (ROOT / "docs" / "structure.md").read_text(encoding="utf-8")


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_the_first_screen_has_the_two_commands() -> None:
    first = "\n".join(README.splitlines()[:12])
    assert "make demo" in first
    assert "make test" in first


def test_the_commands_of_readme_are_those_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in ("demo", "test", "docs"):
        assert f"make {name}" in README
        assert f"\n{name}: " in makefile


def test_the_structure_page_names_every_part_of_the_package() -> None:
    rows = [line for line in STRUCTURE.splitlines() if line.startswith("| `")]
    named = {word.strip("`/, ") for row in rows for word in row.split("|")[1].split()}
    parts = {path.stem for path in (ROOT / "promptkit").iterdir() if not path.name.startswith(("_", "."))}
    assert parts - named == {"py"}  # py.typed


def test_the_structure_page_names_folders_that_exist() -> None:
    for name in ("templates/", "docs/", "examples/", "benchmarks/", "tests/"):
        assert f"| `{name}` |" in STRUCTURE
        assert (ROOT / name).is_dir()

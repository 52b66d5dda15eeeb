"""What the documentation shows is so: snippets run and print what is shown, names and commands are all there."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest
import typer

import promptkit as pk
from promptkit.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / "_tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


snippets, hooks = tool("snippets"), tool("hooks")


def label(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", snippets.pages(), ids=label)
def test_snippets_print_what_the_page_shows(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert snippets.without_seconds(snippets.run_page(text)) == snippets.without_seconds(text)


def test_a_wrong_output_is_found() -> None:
    page = "```python\nprint(2 + 3)\n```\n\n```text\n{}\n```\n"
    assert snippets.run_page(page.format(5)) == page.format(5)
    assert snippets.run_page(page.format(6)) == page.format(5)


def test_a_broken_snippet_is_found() -> None:
    with pytest.raises(NameError):
        snippets.run_page("```python\nundefined\n```\n")


def commands() -> list[tuple[str, str]]:
    blocks = [
        (page, block) for page in PAGES for block in re.findall(r"```bash\n(.*?)```", page.read_text("utf-8"), re.S)
    ]
    lines = [(label(page), line) for page, block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [(page, line) for page, line in lines if line.startswith("promptkit ")]


def parse(line: str) -> None:
    """Parses a command as the program would, and runs nothing."""
    root = typer.main.get_command(app)
    context = typer.Context(root, info_name="promptkit")
    name, *arguments = shlex.split(line, comments=True)[1:]
    command = root.get_command(context, name)
    assert command is not None, f"there is no command {name}"
    command.make_context(name, arguments, parent=context)


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_shell_line_fits_the_command_line(page: str, line: str) -> None:
    parse(line)


@pytest.mark.parametrize("line", ["promptkit climb tone --no-such-option", "promptkit nothing", "promptkit eval"])
def test_a_shell_line_that_does_not_fit_is_found(line: str) -> None:
    with pytest.raises((typer.BadParameter.__mro__[2], AssertionError)):
        parse(line)


def test_every_public_name_is_in_the_reference() -> None:
    pages = [page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md")]
    shown = [name for page in pages for modules in hooks.NAMES.findall(page) for name in hooks.names_of(modules)]
    assert sorted(shown) == sorted(set(pk.__all__) - {"__version__"})


def test_every_command_is_in_the_reference() -> None:
    page = hooks.on_page_markdown((DOCS / "reference" / "cli.md").read_text(encoding="utf-8"))
    root = typer.main.get_command(app)
    for name in root.list_commands(typer.Context(root, info_name="promptkit")):
        assert f"\n## promptkit {name}\n" in page
    assert "`--min-agreement <float>`" in page


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}


def test_the_glossary_is_short() -> None:
    terms = re.findall(r"^:   ", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert 10 <= len(terms) <= 15


@pytest.mark.parametrize(
    "tag",
    ['<script src="https://cdn.example/x.js">', "<img src=//x.example/a.png>", "<link rel=a href='http://x.example'>"],
)
def test_a_page_that_loads_from_the_network_is_refused(tag: str) -> None:
    own = '<script src="../assets/x.js"></script><a href="https://dspy.ai">DSPy</a>'
    assert hooks.on_post_page(own) == own
    with pytest.raises(ValueError, match="must load nothing"):
        hooks.on_post_page(own + tag)


def test_the_picture_of_a_report_is_small() -> None:
    assert 10_000 < (DOCS / "images" / "report.png").stat().st_size < 300_000


def test_readme_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target

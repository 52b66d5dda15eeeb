"""The distribution is promptkit-sdk: on public indexes, promptkit is another project, and nobody is sent there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOREIGN = re.compile(
    r"pip3? (?:install|download|wheel)\b[^\n`]*?[\s'\"]promptkit(?![-_/.\w])|Requires-Dist: promptkit\b"
)


def texts() -> dict[str, str]:
    """Everything that people and programs read of the project."""
    files = [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "constraints.txt", ROOT / "pyproject.toml"]
    for folder, suffixes in {
        "promptkit": ("py", "md"),
        "examples": ("py", "md"),
        "benchmarks": ("py", "md"),
        "docs": ("md",),
    }.items():
        files += [file for suffix in suffixes for file in (ROOT / folder).rglob(f"*.{suffix}")]
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}


def foreign(text: str) -> list[str]:
    return [match.group() for match in FOREIGN.finditer(text)]


def test_no_text_sends_anybody_to_the_project_of_another() -> None:
    assert {name: found for name, text in texts().items() if (found := foreign(text))} == {}


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("run: pip install 'promptkit[typed]'", True),
        ("pip install promptkit", True),
        ("python -m pip install -U promptkit>=1", True),
        ("pip install promptkit-sdk", False),
        ("pip install dist/promptkit_sdk-0.1.0-py3-none-any.whl", False),
        ("pip install .\nimport promptkit", False),
        ("run: pip install llguidance", False),
    ],
)
def test_the_check_above_sees_what_it_should(text: str, bad: bool) -> None:
    assert bool(foreign(text)) is bad


def test_the_name_of_the_distribution_and_its_own_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "promptkit-sdk"
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    own = [one for one in wanted if one.startswith("promptkit")]
    assert own == ["promptkit-sdk[data,typed,docs]"]


@pytest.mark.slow
def test_a_wheel_brings_domains_and_the_reference_model_along(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith("promptkit_sdk-")
    venv.create(tmp_path / "env", with_pip=True, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True)
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    others = {sysconfig.get_paths()["purelib"], *(path for path in sys.path if path.endswith("site-packages"))}
    (site / "libraries.pth").write_text("\n".join(sorted(others)) + "\n")

    def run(*arguments: str) -> str:
        script = tmp_path / "env" / "bin" / "promptkit"
        found = subprocess.run(
            [script, *arguments], check=True, capture_output=True, text=True, cwd=tmp_path, timeout=250
        )
        return found.stdout

    where = subprocess.run(
        [python, "-c", "import promptkit; print(promptkit.__file__)"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    ).stdout
    assert str(site) in where
    assert "apples" in run("tasks") and "tone" in run("tasks")
    question = "Jane has 2 apples. She bought 3 more. How many apples does Jane have now?"
    (tmp_path / "ask.jsonl").write_text(json.dumps({"question": question}) + "\n")
    answered = json.loads(run("predict", "apples", "-i", "ask.jsonl", "--json"))
    assert answered["error"] is None and answered["generated_tokens"] > 0

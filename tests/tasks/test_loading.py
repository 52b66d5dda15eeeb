from __future__ import annotations

import os
from pathlib import Path

import pytest

from promptkit.errors import TaskError
from promptkit.tasks import loading
from promptkit.tasks.loading import (
    MAX_FILE,
    check_name,
    list_tasks,
    read_mapping,
    read_text,
    task_folder,
    templates_root,
)

GOOD_NAMES = ["a", "apples", "A1", "9", "my-domain_2.1", "a" * 64, "CONTROL", "com", "a..b"]
BAD_NAMES = [
    *("", ".", "..", "../x", "..\\x", "/etc", "/etc/passwd", "a/b", "a\\b", "./a", "~", "~root", "-rf", "--help", "_a"),
    *("a\0", "a\0.yaml", "\0", "a\n", "a\r", "\na", "a b", " a", "a ", "a\t", "a.", "a" * 65, "a" * 300, "x" * 100_000),
    *("CON", "con", "nul", "NUL.txt", "Aux", "prn.yaml", "COM1", "com9.tar.gz", "LPT3"),
    *(
        "%2e%2e",
        "%2e%2e%2f",
        "%252e%252e",
        "a%00",
        "..%2f",
        "..%c0%af",
        "&#46;&#46;",
        "$HOME",
        "${HOME}",
        "`id`",
        "$(id)",
    ),
    *(
        "é",
        "äpfel",
        "аpples",
        "苹果",
        "a\u202eb",
        "\u202egnp",
        "a\u200b",
        "\ufeffa",
        "ａ",
        "a\u0301",
        "∕etc",
        "․․",
        "‥",
    ),
    *(
        "C:",
        "C:\\x",
        "\\\\host\\x",
        "file:///etc",
        "http://x",
        "a:b",
        "a;b",
        "a|b",
        "a*",
        "a?",
        "<a>",
        "'a'",
        '"a"',
        "a,b",
    ),
    *("{{ 1 }}", "{a}", "[a]", "(a)", "a=b", "a@b", "a#b", "a!b", "a+b", "\ud800", "\x7f", "\x1b[31m", "…", "a\u2028"),
]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of tasks with one in it, and something worth reaching beside it."""
    root = tmp_path / "templates"
    for folder in (root / "apples", tmp_path / "outside"):
        folder.mkdir(parents=True)
        (folder / "task.yaml").write_text("fields: [question]")
    monkeypatch.setattr(loading, "templates_root", lambda: root)
    return root


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_good_names(name):
    assert check_name(name) == name


@pytest.mark.parametrize("name", BAD_NAMES, ids=range(len(BAD_NAMES)))
def test_bad_names_are_refused_and_reach_nothing(name, root):
    for call in (check_name, task_folder):
        with pytest.raises(TaskError, match=r"^task: name must be 1 to 64 letters, digits") as caught:
            call(name)
        assert len(str(caught.value)) < 300


def test_random_names_never_lead_out_of_the_root(root):
    import random

    rng = random.Random(0)
    letters = "ab./\\%2e~\0-_ \u202e:\n"
    for _ in range(500):
        name = "".join(rng.choices(letters, k=rng.randint(1, 12)))
        with pytest.raises(TaskError):
            task_folder(name)


def test_domain_folder_finds_and_suggests(root):
    assert task_folder("apples") == (root / "apples").resolve()
    assert list_tasks() == ["apples"]
    with pytest.raises(TaskError, match=r"must be one of 'apples', got 'aples'; did you mean 'apples'\?"):
        task_folder("aples")
    with pytest.raises(TaskError, match="give the path of a folder"):
        task_folder("zzz")


def test_a_link_out_of_the_root_is_refused(root):
    (root / "linked").symlink_to(root.parent / "outside")
    with pytest.raises(TaskError, match="got 'linked'"):
        task_folder("linked")
    (root / "inner").symlink_to(root / "apples")  # the twin: a link that stays inside works
    assert task_folder("inner") == (root / "apples").resolve()


def test_templates_root_prefers_the_data_of_a_wheel(tmp_path, monkeypatch):
    package = tmp_path / "site" / "promptkit"
    package.mkdir(parents=True)
    monkeypatch.setattr(loading, "__file__", str(package / "tasks" / "loading.py"))
    with pytest.raises(TaskError, match="reinstall promptkit"):
        templates_root()
    (tmp_path / "site" / "templates").mkdir()
    assert templates_root() == (tmp_path / "site" / "templates").resolve()
    (package / "_templates").mkdir()
    assert templates_root() == (package / "_templates").resolve()


def test_read_text(tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n")
    assert read_text(folder, "a.txt") == "one\r\n"
    (folder / "bad.txt").write_bytes(b"ab\xff")
    (folder / "big.txt").write_bytes(b"a" * (MAX_FILE + 1))
    (folder / "dir.txt").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    os.symlink(tmp_path / "secret.txt", folder / "link.txt")
    for name, message in [
        ("none.txt", r"^d/none\.txt is missing; a task folder holds task\.yaml and direct\.jinja$"),
        ("dir.txt", "is missing"),
        ("bad.txt", "must be UTF-8, got byte 0xff at 2"),
        ("big.txt", "at most 200,000 bytes"),
        ("link.txt", "must lie in its folder"),
        ("../secret.txt", "must lie in its folder"),
    ]:
        with pytest.raises(TaskError, match=message):
            read_text(folder, name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", r"^d\.yaml: line 1: "),
        ("a: 1\nb: 2\na: 3", r"^d\.yaml: line 3: the key 'a' stands twice$"),
        ("x: {b: 1, b: 2}", "the key 'b' stands twice"),
        ("a: &a [x]\nb: *a", "aliases are not allowed"),
        ("a: &a {b: 1}\nc: {<<: *a}", "aliases are not allowed"),
        ("- a\n- b", "content must be a mapping of names to values, got \\['a', 'b'\\]"),
        ("", "must be a mapping of names to values, got None"),
        ("yes: 1", "must be a mapping of names to values, got {True: 1}"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        ("a: \x00", r"^d\.yaml is not YAML: "),
        ("a: " + "[" * 2_000, r"^d\.yaml"),
        ("a: " + "9" * 5_000, r"^d\.yaml is not YAML: Exceeds the limit"),
        ("a: 2020-99-99", r"^d\.yaml is not YAML: month must be"),
    ],
)
def test_yaml_with_surprises_is_refused(text, message):
    with pytest.raises(TaskError, match=message):
        read_mapping(text, "d.yaml")


def test_plain_yaml_is_read():
    assert read_mapping("a: [x, 1]\nb: {c: null}", "d.yaml") == {"a": ["x", 1], "b": {"c": None}}


def test_laughing_yaml_costs_nothing(tmp_path: Path):
    lines = ["a0: &a0 [lol]"] + [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]
    with pytest.raises(TaskError, match="aliases are not allowed"):
        read_mapping("\n".join(lines), "d.yaml")


def test_a_folder_of_the_old_layout_is_told_what_to_rename(tmp_path: Path) -> None:
    (tmp_path / "domain.yaml").write_text("readers: {}")
    with pytest.raises(
        TaskError, match=r"task\.yaml is missing; rename domain\.yaml to task\.yaml, and its key readers"
    ):
        read_text(tmp_path, "task.yaml")

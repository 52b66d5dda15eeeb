"""Writes the parts of the site that come from the code: the lists of public names, and the command line."""

from __future__ import annotations

import re
from typing import Any

import typer

import promptkit
from promptkit.cli.app import app

NAMES = re.compile(r"^<!-- names: ([\w. ]+) -->$", re.MULTILINE)
COMMANDS = "<!-- commands -->"
LOADED = re.compile(r"""<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>""")


def names_of(modules: str) -> list[str]:
    """The public names whose home is one of the modules, in the order of the table in ``promptkit/__init__.py``."""
    table = promptkit._NAMES_BY_MODULE
    return [name for module in modules.split() for name in table[module].split()]


def command_line() -> str:
    """Every command with its arguments and options, as Markdown."""
    root = typer.main.get_command(app)
    context = typer.Context(root, info_name="promptkit")
    return "\n\n".join(describe(root.get_command(context, name), context) for name in root.list_commands(context))


def describe(command: Any, parent: Any) -> str:
    """One command: usage, help text, and a table of its options."""
    context = typer.Context(command, info_name=command.name, parent=parent)
    if hasattr(command, "list_commands"):
        inner = [describe(command.get_command(context, name), context) for name in command.list_commands(context)]
        return "\n\n".join([f"## {context.command_path}", command.help or "", *inner])
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    rows = [row for parameter in command.get_params(context) if (row := describe_parameter(parameter, context))]
    table = ["| option | meaning |", "| --- | --- |", *rows]
    return "\n".join([f"## {context.command_path}", "", f"`{usage}`", "", command.help or "", "", *table])


def describe_parameter(parameter: Any, context: Any) -> str:
    """One row of the table; nothing for a hidden option."""
    record = None if getattr(parameter, "hidden", False) else parameter.get_help_record(context)
    if record is None:
        return ""
    label, text = record
    if getattr(parameter, "is_flag", False):
        label = label.replace("<bool>", "").strip()
    return "| {} | {} |".format(*(" ".join(cell.split()).replace("|", "\\|") for cell in (f"`{label}`", text)))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts the generated parts where a page asks for them; called by MkDocs for every page."""
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, command_line())
    return NAMES.sub(lambda match: "\n\n".join(f"::: promptkit.{name}" for name in names_of(match[1])), markdown)


def on_post_page(output: str, **_: Any) -> str:
    """Refuses a page that loads something from the network; called by MkDocs for every page that is built."""
    if found := LOADED.search(output):
        raise ValueError(f"a page must load nothing from the network, got {found[0]}")
    return output

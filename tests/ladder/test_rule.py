from __future__ import annotations

import inspect
from typing import Any

import typer.main

import promptkit as pk
from promptkit.cli.app import app
from promptkit.config import ClimbConfig
from promptkit.ladder.rule import DecisionRule


def test_climb_the_yaml_file_and_the_help_have_the_defaults_of_the_rule() -> None:
    rule, parameters = DecisionRule(), inspect.signature(pk.climb).parameters
    command: Any = typer.main.get_command(app).commands["climb"]  # type: ignore[attr-defined]
    helped = {option.name: getattr(option, "help", "") for option in command.get_params(typer.Context(command))}
    for name, default in rule:
        assert parameters[name].default == default == ClimbConfig.model_fields[name].default
        assert f"Default: {default:g}." in helped[name], name


def test_a_yaml_file_is_climbed_by_its_own_rule() -> None:
    config = ClimbConfig(task="apples", margin=0.1, block=7)
    assert DecisionRule(**config.model_dump(include=set(DecisionRule.model_fields))) == DecisionRule(
        margin=0.1, block=7
    )

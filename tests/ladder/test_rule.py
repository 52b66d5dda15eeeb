from __future__ import annotations

import inspect
from typing import get_type_hints

import promptkit as pk
from promptkit.cli.climb import climb as command
from promptkit.config import ClimbConfig
from promptkit.ladder.rule import DecisionRule


def test_climb_the_yaml_file_and_the_help_have_the_defaults_of_the_rule() -> None:
    rule = DecisionRule()
    parameters, hints = inspect.signature(pk.climb).parameters, get_type_hints(command, include_extras=True)
    for name, default in rule:
        assert parameters[name].default == default == ClimbConfig.model_fields[name].default
        if name in hints:
            help_text = hints[name].__metadata__[0].help
            assert f"Default: {default:g}." in help_text, name
    assert {"margin", "confidence"} <= set(hints)


def test_a_yaml_file_is_climbed_by_its_own_rule() -> None:
    config = ClimbConfig(task="apples", margin=0.1, block=7)
    assert DecisionRule(**config.model_dump(include=set(DecisionRule.model_fields))) == DecisionRule(
        margin=0.1, block=7
    )

"""``promptkit estimate``: what a strategy would train on a model, told from its configuration."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from promptkit.cli.options import Json, NoServer, Traceback
from promptkit.cli.settings_options import given_settings
from promptkit.cli.show import print_json, say

__all__ = ["SHAPE", "estimate"]

SHAPE = ("rank", "variant", "init_rank", "targets", "soft_prompt", "tokens", "soft_kind")
"""Settings of strategies on which depends how much is trained."""

_ANY_TASK = "apples"  # what is trained does not depend on the task; this one is shipped, and can be reasoned about


def estimate(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Option("--model", metavar="NAME", help="'reference', a folder with a config.json, or a name on the Hub."),
    ] = "reference",
    base_url: NoServer = None,
    strategy: Annotated[
        Literal["few_shot", "chain_of_thought", "soft_prompt", "lora"], typer.Option("--strategy", help="The strategy.")
    ] = "lora",
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option("--dtype", help="Data type of the base model.")
    ] = "float32",
    batch_tokens: Annotated[
        int, typer.Option("--batch-tokens", min=1, help="Tokens of a batch, for the estimate of activations.")
    ] = 4096,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Count what a strategy would train on a model, and its memory, without weights.

    promptkit estimate --model bigscience/bloom-1b1 --strategy lora --variant adalora --targets query_key_value
    """
    import promptkit as pk
    from promptkit.adapters import adapter_from_settings
    from promptkit.tasks.loading import task_folder

    task = pk.load_task(task_folder(_ANY_TASK))
    given = {name: value for name, value in given_settings(ctx).items() if value is not None}
    adapter = adapter_from_settings(task, {"kind": strategy, **given})
    told = pk.estimate(model, adapter, dtype=dtype, batch_tokens=batch_tokens)
    if json:
        print_json(told.to_json())
    else:
        say(str(told))

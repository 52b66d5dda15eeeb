"""``promptkit estimate``: what a strategy would train on a model, told from its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from promptkit.cli.options import Json, NoServer, Traceback
from promptkit.cli.show import print_json, say

if TYPE_CHECKING:
    import promptkit as pk

__all__ = ["estimate"]

_ANY_TASK = "apples"  # what is trained does not depend on the task; this one is shipped, and can be reasoned about


def estimate(
    model: Annotated[
        str,
        typer.Option("--model", metavar="NAME", help="'reference', a folder with a config.json, or a name on the Hub."),
    ] = "reference",
    base_url: NoServer = None,
    strategy: Annotated[
        Literal["few_shot", "chain_of_thought", "soft_prompt", "lora"], typer.Option("--strategy", help="The strategy.")
    ] = "lora",
    rank: Annotated[int | None, typer.Option("--rank", min=1, help="lora: rank of the changes.")] = None,
    variant: Annotated[
        Literal["lora", "rslora", "dora", "adalora"] | None,
        typer.Option("--variant", help="lora: member of the family; for adalora the rank is the target."),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option("--targets", metavar="NAME[,NAME...]", help="lora: all-linear, attention, or names of layers."),
    ] = None,
    soft_prompt: Annotated[
        int | None, typer.Option("--soft-prompt", min=1, help="lora: vectors that are learned together with it.")
    ] = None,
    tokens: Annotated[int | None, typer.Option("--tokens", min=1, help="soft_prompt: number of vectors.")] = None,
    kind: Annotated[
        Literal["prompt", "prefix", "ptuning"] | None, typer.Option("--kind", help="soft_prompt: kind of vectors.")
    ] = None,
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

    given = {
        "rank": rank, "variant": variant, "targets": _parse_targets(targets), "soft_prompt": soft_prompt,
        "tokens": tokens, "kind": kind,
    }  # fmt: skip
    settings = {name: value for name, value in given.items() if value is not None}
    told = pk.estimate(model, _adapter(strategy, settings), dtype=dtype, batch_tokens=batch_tokens)
    if json:
        print_json(told.to_json())
    else:
        say(str(told))


def _parse_targets(text: str | None) -> str | list[str] | None:
    """Reads the names of groups as they are, and others as a list."""
    if text is None or text in ("all-linear", "attention"):
        return text
    return [name.strip() for name in text.split(",")]


def _adapter(strategy: str, settings: dict[str, Any]) -> pk.LoRA | pk.SoftPrompt | pk.FewShot | pk.ChainOfThought:
    import promptkit as pk
    from promptkit.tasks.loading import task_folder

    classes: dict[str, Any] = {
        "few_shot": pk.FewShot,
        "chain_of_thought": pk.ChainOfThought,
        "soft_prompt": pk.SoftPrompt,
        "lora": pk.LoRA,
    }
    adapter: pk.LoRA | pk.SoftPrompt | pk.FewShot | pk.ChainOfThought
    adapter = classes[strategy](pk.load_task(task_folder(_ANY_TASK)), **settings)
    return adapter

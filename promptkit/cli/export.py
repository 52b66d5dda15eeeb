"""``promptkit export``: learned weights for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from promptkit.cli.options import Json, NoServer, Traceback
from promptkit.cli.show import print_json, say

if TYPE_CHECKING:
    import promptkit as pk

__all__ = ["export"]


def export(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A saved predictor with learned weights.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Where to write; a new or empty folder.")],
    to: Annotated[
        Literal["peft", "merged", "baked", "prompt-embeds"],
        typer.Option(
            "--to",
            help="PEFT's format, a plain model with the LoRA or the soft prompt in it, or the vectors themselves.",
        ),
    ] = "peft",
    model: Annotated[
        str,
        typer.Option("--model", metavar="NAME", help="The model it was fitted on: 'reference', a folder, or a name."),
    ] = "reference",
    base_url: NoServer = None,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Write the weights of a saved predictor for other programs.

    Says for a LoRA in PEFT's format whether vLLM will take it.

        promptkit export my-lora out --to merged
    """
    import promptkit as pk

    predictor = pk.load(folder, pk.LocalBackend(model))
    predictor.export(out, to=to)
    problems = _vllm(predictor, Path(out)) if to == "peft" else None
    if json:
        print_json({"folder": out, "to": to, "vllm": problems})
        return
    say(f"{out}: {to}")
    for line in (
        ["vLLM will take it"] if problems == [] else [f"vLLM will not take it: {one}" for one in problems or []]
    ):
        say(line)


def _vllm(predictor: pk.PlanPredictor, out: Path) -> list[str] | None:
    """Returns what keeps vLLM from taking a LoRA; ``None`` where there is none."""
    import promptkit as pk

    if predictor.lora is None:
        return None
    return pk.check_vllm(out / "lora" if predictor.soft_prompt is not None else out)

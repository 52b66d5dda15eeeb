"""``promptkit doctor``: what decides the speed of local models here, and what was chosen for one."""

from __future__ import annotations

from typing import Any

from promptkit.cli.options import Json, Model, NoServer, Traceback
from promptkit.cli.show import print_json, say

__all__ = ["doctor"]

_BATCHING = {
    "shared": "prompts share one computation of their common prefix",
    "copied": "the common prefix of prompts is computed once and copied",
    "padded": "prompts are encoded together, padded to one length",
    "alone": "each prompt by itself, as this model cannot be run with padding",
    "uncached": "each prompt by itself, and every token reads the text again, as this model keeps no usable cache",
}


def doctor(
    model: Model = "reference", base_url: NoServer = None, json: Json = False, traceback: Traceback = False
) -> None:
    """Show the CPUs, threads and versions that local models use here, and what was chosen for one model."""
    import promptkit as pk
    from promptkit.backends.local.facts import machine_facts, model_facts

    machine = machine_facts()
    versions = {"promptkit": pk.__version__, **machine.pop("versions")}
    if not json:  # before the model is loaded, so that it is told also when that fails
        say("\n".join(_machine_lines(versions, machine)))
    told = model_facts(pk.LocalBackend(model))
    if json:
        print_json({"versions": versions, "machine": machine, "model": told})
    else:
        say("\n".join(_model_lines(told)))


def _machine_lines(versions: dict[str, str], machine: dict[str, Any]) -> list[str]:
    cpus, speedup = machine["cpus"], machine["bfloat16_speedup"]
    quota = "no quota" if cpus["quota"] is None else f"a quota of {cpus['quota']:g}"
    variables = [f"{name}={value}" for name, value in machine["environment"].items() if value is not None]
    return [
        f"versions    {', '.join(f'{name} {version}' for name, version in versions.items())}",
        f"system      {machine['system']}",
        f"CPUs        {cpus['visible']} visible, {cpus['affinity']} by affinity, {quota}: {cpus['usable']} usable",
        f"torch       threads: {machine['torch_threads']}{''.join(f', {text}' for text in variables)}",
        f"devices     {', '.join(machine['devices'])}",
        f"bfloat16    {speedup:.1f} times as fast as float32 in a matrix product on one thread",
    ]


def _model_lines(told: dict[str, Any]) -> list[str]:
    size = f"{told['parameters']:,} parameters in {told['dtype']} on {told['device']}"
    threads = "no choice" if told["threads"] is None else told["threads"]
    lines = [
        f"model       {told['name']}: {told['architecture']}, {size}",
        f"batches     {_BATCHING[told['batching']]}",
        f"threads     {threads}: {told['reason']}",
    ]
    for timing in told["timings"]:
        times = [f"{name} {_ms(timing[key])}" for key, name in (("token", "1 token"), ("prefill", "prefill"))]
        lines.append(f"  with {timing['threads']:<5}{', '.join(times)}")
    return lines


def _ms(seconds: dict[str, float] | None) -> str:
    if seconds is None:
        return "not measured"
    return f"{1000 * seconds['best']:.1f} ms (mean {1000 * seconds['mean']:.1f})"

"""``promptkit doctor``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from promptkit.backends.local import facts as local_facts
from promptkit.backends.local import threads as local_threads
from promptkit.backends.local.machine import Cpus
from promptkit.backends.local.threads import Timing

from .conftest import Run


@pytest.fixture
def two_cpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of 64 CPUs of which two and a half may be used, where torch would take four."""
    before = torch.get_num_threads()
    monkeypatch.setattr(local_threads, "count_cpus", lambda: Cpus(64, 8, 2.5))
    monkeypatch.setattr(local_facts, "count_cpus", lambda: Cpus(64, 8, 2.5))
    monkeypatch.setattr(local_threads, "_chosen", {})
    monkeypatch.setattr(
        local_threads,
        "measure",
        lambda read, counts: (Timing(1, (0.002, 0.004), (0.01,)), Timing(counts[1], (0.02,), ())),
    )
    torch.set_num_threads(4)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    yield
    torch.set_num_threads(before)


def test_the_machine_the_choice_and_its_reason_are_shown(run: Run, two_cpus: None) -> None:
    outcome = run("doctor")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0].startswith("versions    promptkit ") and "torch 2" in lines[0] and "transformers 5" in lines[0]
    assert "CPUs        64 visible, 8 by affinity, a quota of 2.5: 2 usable" in lines
    assert "torch       threads: 4, OMP_WAIT_POLICY=PASSIVE" in lines
    assert any(line.startswith("bfloat16    ") for line in lines)
    assert lines[-5].startswith("model       reference: LlamaForCausalLM, ")
    assert lines[-4:] == [
        "batches     prompts share one computation of their common prefix",
        "threads     1: 2 threads were not clearly faster than one",
        "  with 1    1 token 2.0 ms (mean 3.0), prefill 10.0 ms (mean 10.0)",
        "  with 2    1 token 20.0 ms (mean 20.0), prefill not measured",
    ]


def test_machines_get_json(run: Run, two_cpus: None) -> None:
    told = json.loads(run("doctor", "--json").out)
    assert told["machine"]["cpus"] == {"visible": 64, "affinity": 8, "quota": 2.5, "usable": 2}
    assert told["machine"]["torch_threads"] == 4 and told["machine"]["bfloat16_speedup"] > 0
    model = told["model"]
    assert (model["threads"], model["batching"], model["dtype"]) == (1, "shared", "float32")
    assert model["timings"][0] == {
        "threads": 1, "token": {"best": 0.002, "mean": 0.003}, "prefill": {"best": 0.01, "mean": 0.01}
    }  # fmt: skip


def test_the_machine_is_shown_also_where_there_is_no_model(run: Run, tmp_path: Path) -> None:
    outcome = run("doctor", "--model", str(tmp_path))
    assert outcome.code == 1 and outcome.err.startswith("error: LocalBackend: folder ")
    assert "CPUs        " in outcome.out


def test_a_server_has_no_doctor(run: Run) -> None:
    assert run("doctor", "--base-url", "http://localhost:1/v1").code == 2

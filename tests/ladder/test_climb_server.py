"""A climb from end to end on a model server that fails now and then, by the prompting rungs."""

from __future__ import annotations

from pathlib import Path

import promptkit as pk
from tests.support import shipped
from tests.support.server import ScriptedServer


def test_the_prompting_rungs_climb_on_a_server(tmp_path: Path) -> None:
    task, data = pk.load_task("apples"), shipped("apples")
    small = pk.Data(train=data.train[:120], dev=data.dev[:40], test=data.test[:40])
    targets = {example.query.fields["question"]: example.target for split in data for example in split}

    def answer(request: pk.Request, index: int) -> str:
        *shown, last = request.prompt.messages
        question = next(text for text in targets if text in last.content)
        reasoned = bool(shown) and len(shown[-1].content) > 25
        right = (len(question) + index) % 20 < 2 + 3 * (len(shown) > 1) + 10 * reasoned
        return f"It is so. The answer is {int(targets[question]) + (not right)}."

    script = pk.ScriptedBackend(answer, context_window=8192)
    server = ScriptedServer(script, fault_rate=0.05, fault_kinds=["503", "429-seconds", "close"])
    with server, pk.RemoteBackend(server.base_url, "scripted", backoff=0.01) as backend:
        result = pk.climb(
            task,
            small,
            backend,
            target={"numeric_match": 0.6},
            rungs=["zero-shot", "few-shot", "voting"],
            folder=tmp_path / "run",
        )
        asked = len(server.seen)
        assert asked > 200
        # Every answer was journaled: climbing again to the same end asks for nothing but the model's name.
        again = pk.climb(
            task,
            small,
            backend,
            target={"numeric_match": 0.6},
            rungs=["zero-shot", "few-shot", "voting"],
            folder=tmp_path / "run",
            resume=True,
        )
        assert len(server.seen) - asked <= 1
    decision = result.record.decision
    assert decision is not None
    assert (decision.winner, decision.reached) == ("chain of thought with voting", True)
    assert again.record.decision == decision

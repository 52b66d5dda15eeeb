"""What the rungs are, and what each takes over from those below it."""

from __future__ import annotations

from typing import Any

import pytest
from simulation import TASK, climb, examples, make_data, model, rung

import promptkit as pk
from promptkit.ladder.rungs import Prior, Ready, Rung, default_rungs, describe, make_rungs

TRAIN = examples(40)


def fitted(adapter: Any, **rest: Any) -> pk.PlanPredictor:
    found = adapter.fit(TRAIN, model(), **rest)
    assert isinstance(found, pk.PlanPredictor)
    return found


def by_name(name: str, task: pk.Task = TASK, train: Any = TRAIN) -> Rung:
    return next(one for one in default_rungs(task, train) if one.name == name)


FEW = fitted(pk.FewShot(TASK, shots=4, instruction="Quality 0.8."))


def test_default_rungs_are_sized_by_train() -> None:
    plans = {one.name: one.plan for one in default_rungs(TASK, TRAIN)}
    assert plans["zero-shot"]["shots"] == 0
    assert (plans["few-shot"]["shots"], plans["few-shot"]["select"]) == (8, "searched")
    assert default_rungs(TASK, TRAIN[:6])[1].plan["shots"] == 3


def test_a_task_without_reasoning_leaves_the_chain_out() -> None:
    task = pk.load_task("tickets")
    found = by_name("chain of thought with voting", task)
    assert found.left_out == "task 'tickets' has no template reasoned.jinja"
    ladder = make_rungs(["voting", "zero-shot"], task, TRAIN)
    assert [one.name for one in ladder] == ["chain of thought with voting", "zero-shot"]


def test_the_chain_takes_over_instruction_and_demonstrations_of_few_shot() -> None:
    ready = by_name("chain of thought with voting").ready(Prior("few-shot", FEW, FEW))
    assert isinstance(ready.adapter, pk.ChainOfThought)
    assert (ready.adapter.instruction, ready.adapter.select) == ("Quality 0.8.", "first")
    assert ready.first == FEW.plan.demos and ready.prior == ("instruction and demonstrations of few-shot",)
    alone = by_name("chain of thought with voting").ready(Prior())
    assert isinstance(alone.adapter, pk.ChainOfThought) and alone.adapter.select == "balanced" and not alone.prior


def test_the_chain_writes_rationales_where_the_data_has_none() -> None:
    bare = [pk.Example(one.query, one.targets) for one in TRAIN]
    few = pk.FewShot(TASK, shots=4, instruction="Quality 0.8.").fit(bare, model())
    ready = by_name("chain of thought with voting", train=bare).ready(Prior("few-shot", few, few))
    assert isinstance(ready.adapter, pk.ChainOfThought) and ready.adapter.bootstrap
    assert ready.first == () and ready.prior == ("instruction of few-shot",)


def test_the_soft_prompt_starts_from_the_few_shot_prompt() -> None:
    ready = by_name("soft prompt").ready(Prior("few-shot", FEW, FEW, minutes=3.5))
    assert isinstance(ready.adapter, pk.SoftPrompt)
    assert (ready.adapter.init, ready.adapter.max_minutes, ready.adapter.reasoned) == ("prompt", 3.5, False)
    assert ready.options == {"teacher": FEW} and ready.prior == ("initialized from the prompt of few-shot",)
    alone = by_name("soft prompt").ready(Prior())
    assert isinstance(alone.adapter, pk.SoftPrompt) and alone.adapter.init == "domain" and not alone.options


def test_a_reasoning_rung_teaches_those_above_to_reason() -> None:
    chain = fitted(pk.ChainOfThought(TASK, shots=2, samples=1, temperature=0.0, instruction="Quality 0.8."))
    prior = Prior("voting", chain, FEW)
    soft, lora = (by_name(name).ready(prior) for name in ("soft prompt", "LoRA"))
    assert soft.adapter.reasoned and lora.adapter.reasoned  # type: ignore[attr-defined]
    assert soft.options == lora.options == {"teacher": chain}
    assert soft.prior == ("initialized from the prompt of voting", "reasonings of voting")


def test_unlabelled_queries_are_answered_by_the_kept_rung() -> None:
    queries = [one.query for one in examples(5, start=900)]
    ready = by_name("LoRA").ready(Prior("few-shot", FEW, FEW, unlabelled=queries))
    assert ready.options == {"teacher": FEW, "unlabelled": queries}
    assert ready.prior == ("answers of few-shot to 5 unlabelled queries",)
    plain = by_name("LoRA").ready(Prior("few-shot", FEW, FEW))
    assert not plain.options and not plain.prior  # a teacher without anything to teach is refused by LoRA


def test_a_callers_own_adapter_is_handed_what_it_can_take() -> None:
    mine = pk.SoftPrompt(TASK, tokens=3, init="prompt")
    (found,) = make_rungs([("mine", mine)], TASK, TRAIN)
    assert found.ready(Prior("few-shot", FEW, FEW)) == Ready(
        mine, (), {"teacher": FEW}, ("initialized from the prompt of few-shot",)
    )
    (few,) = make_rungs([pk.FewShot(TASK)], TASK, TRAIN)
    assert few.ready(Prior("few-shot", FEW, FEW)).options == {}


def test_the_climb_hands_down_as_it_goes() -> None:
    seen: list[Prior] = []

    def ready(prior: Prior) -> Ready:
        seen.append(prior)
        return Ready(rung(0.95)[1], prior=("everything",))

    few = ("few", pk.FewShot(TASK, shots=2, instruction="Quality 0.6."))
    record = climb(
        rungs=[rung(0.2), few, ("worse", rung(0.1)[1]), Rung("custom", ready)], data=make_data(dev=100)
    ).record
    (prior,) = seen
    assert prior.kept == "few" and prior.prompt is prior.predictor
    assert isinstance(prior.predictor, pk.PlanPredictor) and len(prior.predictor.plan.demos) == 2
    assert record["custom"].prior == ("everything",) and record["custom"].verdict == "kept"


def test_names_tell_what_a_rung_is_and_never_collide() -> None:
    adapters = [pk.FewShot(TASK), pk.FewShot(TASK, shots=1, ask="reasoned"), pk.SoftPrompt(TASK), pk.LoRA(TASK)]
    assert [describe(one) for one in adapters] == ["4 shots", "1 shot reasoned", "soft prompt", "LoRA"]
    found = make_rungs([pk.FewShot(TASK), pk.FewShot(TASK, trials=3), pk.FewShot(TASK)], TASK, TRAIN)
    assert [one.name for one in found] == ["4 shots", "4 shots #2", "4 shots #3"]


def test_settings_of_a_strangers_adapter_are_shown() -> None:
    class Mine:
        def fit(self, examples: Any, backend: Any, *, dev: Any = None, seed: int = 0) -> Any: ...

        def __repr__(self) -> str:
            return "Mine(level=3)"

    (found,) = make_rungs([Mine()], TASK, TRAIN)
    assert (found.name, found.plan) == ("Mine", {"kind": "Mine", "shown": "Mine(level=3)"})


@pytest.mark.parametrize("value", ["all", 7, None, {"a": 1}])
def test_what_is_no_ladder_is_refused(value: Any) -> None:
    with pytest.raises(pk.SettingError, match="climb: rungs must be 'default', or a list of adapters"):
        make_rungs(value, TASK, TRAIN)

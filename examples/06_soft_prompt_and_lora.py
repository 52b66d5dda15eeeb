"""Learned weights behind the same interface: a soft prompt, a LoRA, and what a few-shot prompt hands down to them.

Run ``python examples/06_soft_prompt_and_lora.py``; ``--items`` sets the number of test items, ``--train`` that of
training items, ``--epochs`` how often each is seen at most, and ``--task`` names the task.
"""

import argparse
import tempfile
from pathlib import Path

import promptkit as pk

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--task", default="tone")
parser.add_argument("--items", type=int, default=100)
parser.add_argument("--train", type=int, default=600)
parser.add_argument("--epochs", type=int, default=None)
parser.add_argument("--model", default="reference")
args = parser.parse_args()

backend = pk.LocalBackend(args.model)
task, data = pk.load_task(args.task), pk.load_examples(args.task)
train, items = data.train[: args.train], data.test[: args.items]
limits = {"epochs": args.epochs} if args.epochs else {}


def show(name: str, predictor: pk.PlanPredictor) -> None:
    """Prints the score of a predictor, what an answer costs, and what its training cost."""
    report = pk.evaluate(predictor, items, [task.metric])
    score, training = report[task.metric], predictor.training
    line = f"{name:<28}{score.mean:6.3f}  [{score.low:.3f}, {score.high:.3f}]"
    line += f"  {report.cost.prompt_tokens_per_item:5.0f} prompt tokens"
    if training is not None:
        line += f", {training.trainable_parameters:,} of {training.total_parameters:,} trained in "
        line += f"{training.seconds:.0f} s, best step {training.best_step} of {training.steps}"
    print(line)


few = pk.FewShot(task, shots=8).fit(train, backend, seed=0)
show("8 shots", few)

# The cheap rung hands its work down: the vectors start from the words of its prompt.
soft = pk.SoftPrompt(task, tokens=20, init="prompt", **limits)
show("soft prompt, handed down", soft.fit(train, backend, dev=data.dev, teacher=few))

prompted = pk.SoftPrompt(task, tokens=20, **limits).fit(train, backend, dev=data.dev)
show("soft prompt", prompted)
tuned = pk.LoRA(task, rank=8, **limits).fit(train, backend, dev=data.dev)
show("LoRA", tuned)

# A teacher's answers to questions without one are targets too.
half, rest = train[: len(train) // 2], [example.query for example in train[len(train) // 2 :]]
pseudo_labelled = pk.LoRA(task, rank=8, **limits).fit(half, backend, dev=data.dev, teacher=few, unlabelled=rest)
show("LoRA, half of it taught", pseudo_labelled)
print("taught:", pseudo_labelled.notes["examples"]["distillation"])

with tempfile.TemporaryDirectory() as folder:
    tuned.save(Path(folder) / "tuned")
    again = pk.load(Path(folder) / "tuned", backend)
    query = items[0].query
    print("\nAsked:", dict(query.fields))
    print("LoRA, saved and loaded:", again.predict([query])[0].answer)
    print("Base model, untouched: ", pk.FewShot(task, shots=0).fit((), backend).predict([query])[0].answer)

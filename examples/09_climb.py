"""Climbs from cheap to expensive until the target is reached, and shows what was decided on which evidence.

Run ``python examples/09_climb.py``; ``--items`` sets how many dev and test items there are, ``--folder`` keeps the run.
With ``rungs="default"`` the same call goes on to reasoning with votes, soft prompts and LoRA where prompts are not enough.
"""

import argparse

import promptkit as pk

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--items", type=int, default=200)
parser.add_argument("--model", default="reference")
parser.add_argument("--folder", help="where the run is kept; the same command goes on with it after a crash")
args = parser.parse_args()

backend = pk.LocalBackend(args.model)
task, data = pk.load_task("chinese"), pk.load_examples("chinese")
data = pk.Data(data.train, data.dev[: args.items], data.test[: args.items], name=data.name)

result = pk.climb(
    task,
    data,
    backend,
    target={"exact_match": 0.8},
    budget=pk.Budget(minutes=5),
    rungs=[pk.FewShot(task, shots=0), pk.FewShot(task, shots=4), pk.FewShot(task, shots=16, select="searched")],
    folder=args.folder,
)
print(result)

# Everything that was tried is in the record: settings, answers item by item, tests, costs and reasons.
record = result.record
print(f"\n{record.decision.winner} won, because {record.decision.reason}")
for trial in record.trials:
    if trial.test is not None:
        analyses = ", ".join(f"{one.items}: {one.difference:+.2f}" for one in trial.test.analyses)
        print(f"{trial.rung} against {trial.test.against}, gain after so many items: {analyses}")
question = data.test[0].query
print(f"{question.fields['sentence']} -> {result.winner.predict([question])[0].answer}")

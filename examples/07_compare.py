"""Which of several ways is better, how sure is that, what would settle the rest, and does it pay?

Run ``python examples/07_compare.py``; ``--items`` sets the number of test items. With ``PROMPTKIT_REAL_DATA`` set to the
folder of real outputs, four large language models are also compared pairwise on GSM8K and AQuA.
"""

import argparse
import gzip
import json
import os
from pathlib import Path

import promptkit as pk

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--items", type=int, default=200)
parser.add_argument("--model", default="reference")
args = parser.parse_args()

# Before a run: what can so many items show? Arms that differ on a third of the items are a fair guess here.
least = pk.minimum_detectable(args.items, discordance=1 / 3, arms=2)
print(f"{args.items} items will show differences of {least:.3f} or more (power .8, discordance 1/3, two arms)\n")

# Predictors answer the same questions; differences are paired, tested exactly, and corrected for their number.
backend = pk.LocalBackend(args.model)
task, data = pk.load_task("apples"), pk.load_examples("apples")
arms = {
    "few-shot": pk.FewShot(task, shots=4),
    "8 shots": pk.FewShot(task, shots=8),
    "reasoned": pk.FewShot(task, shots=4, ask="reasoned"),
}
predictors = {name: adapter.fit(data.train, backend, seed=0) for name, adapter in arms.items()}
c = pk.compare(predictors, data.test[: args.items], baseline="few-shot", margin=0.02)
print(c.table)
print(f"\nreasoned against 8 shots: {c.arms['reasoned'].score.mean - c.arms['8 shots'].score.mean:+.3f}")

# The same stream, looked at after every item: it may stop as soon as it knows, and errs no more often for that.
race = pk.Sequential(alpha=0.05)
for pair in zip(c.arms["few-shot"].scores, c.arms["reasoned"].scores, strict=True):
    if race.add(*pair):
        break
print(f"looking after every item, reasoned is {race.decided or 'undecided'} after {race.items} items\n")

# When does a training pay that makes the long prompt unnecessary? Measured reports, and what the training took.
short = pk.evaluate(pk.FewShot(task, shots=0).fit(data.train, backend), data.test[: args.items])
price = pk.Price(per_million_prompt_tokens=0.15, per_million_generated_tokens=0.60, per_million_training_tokens=3.0)
paid = pk.break_even(c.reports["8 shots"], short, training_seconds=60, training_tokens=200_000, price=price)
print(f"a training of a minute that replaces eight shots:\n{paid}")


def read_scores(file: Path) -> list[float]:
    """Reads the answers from stored chains of thought, and scores them; the extraction stored with them is not used,
    because it took sentences without "The answer is" for wrong answers and made GPT-4 worse than GPT-3.5."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    letters = file.name.startswith("AQUA")
    choice = {"kind": "choice", "labels": [*"ABCDE"], "marker": "answer is"}
    parser = pk.AnswerParser(choice if letters else {"kind": "number"})
    metric = pk.get_metric("exact_match" if letters else "numeric_match")
    return [metric.score(parser.read(row["completion"]), [str(row["gold"])]) for row in rows]


if folder := os.environ.get("PROMPTKIT_REAL_DATA"):
    for data_set in ("GSM8K", "AQUA"):
        files = sorted(Path(folder, "paired").glob(f"{data_set}__*.jsonl.gz"))
        scores = {file.name.removeprefix(f"{data_set}__").removesuffix("_COT.jsonl.gz"): file for file in files}
        found = pk.compare({name: read_scores(file) for name, file in scores.items()}, pairs="all", baseline="code002")
        print(f"\nfour models on {data_set}\n{found.table}")

"""Direct answers, reasoning, one sample, a vote of twenty, and a vote that knows when to stop, on the same items.

Run ``python examples/05_is_voting_worth_it.py``; ``--items`` sets the number of items. Every difference is paired: both
sides answer the same questions, and the interval is that of the mean difference per question. Demonstrations nearest to
each question serve the vote better than balanced ones, on dev as on test (``--split dev``, ``--select balanced``). Below
temperature 1 samples agree sooner, so that the stop rule needs fewer of them.
"""

import argparse

import promptkit as pk
from promptkit.statistics import difference_interval, mean_interval

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--items", type=int, default=300)
parser.add_argument("--split", choices=["dev", "test"], default="test")
parser.add_argument("--select", default="nearest")
parser.add_argument("--temperature", type=float, default=0.8)
parser.add_argument("--model", default="reference")
args = parser.parse_args()

backend = pk.LocalBackend(args.model)
task, data = pk.load_task("apples"), pk.load_examples("apples")
items = data.splits[args.split][: args.items]
parser, metric = task.parser("reasoned"), pk.get_metric("numeric_match")


def score(adapter) -> list[float]:
    """Fits, predicts and scores an adapter, one number per question."""
    predictions = adapter.fit(data.train, backend, seed=0).predict([item.query for item in items])
    return [metric.score(p.answer, item.targets) for p, item in zip(predictions, items, strict=True)]


direct = score(pk.FewShot(task, shots=4, select=args.select))
greedy = score(pk.FewShot(task, shots=4, select=args.select, ask="reasoned"))

voting = pk.ChainOfThought(task, shots=4, select=args.select, samples=20, temperature=args.temperature)
predictions = voting.fit(data.train, backend, seed=0).predict([item.query for item in items])
pairs = list(zip(predictions, items, strict=True))
majority = [metric.score(p.answer, item.targets) for p, item in pairs]
# One sample: the mean over the twenty, which is what a single draw is worth on average.
one = [sum(metric.score(parser.read(c.text), item.targets) for c in p.completions) / 20 for p, item in pairs]
# The same samples with a stop rule: a sample depends on (seed, prompt, index) alone, so replaying it is drawing it.
stopped = [pk.vote(p.completions, parser=parser, stop="beta") for p in predictions]
beta = [metric.score(v.answer, item.targets) for v, item in zip(stopped, items, strict=True)]

rows = {
    "direct, 4 shots": direct,
    "reasoned, greedy": greedy,
    "reasoned, one sample": one,
    "majority of 20": majority,
    "beta stop": beta,
}
print(f"apples, {len(items)} {args.split} items, 4 demonstrations, temperature {args.temperature:g} where sampled\n")
for name, scores in rows.items():
    interval = mean_interval(scores)
    print(f"{name:<34} {interval.mean:6.3f}  [{interval.low:.3f}, {interval.high:.3f}]")
print(f"{'samples used by the beta stop':<34} {sum(v.samples_used for v in stopped) / len(stopped):6.2f}  of 20\n")

for name, better, worse in (
    ("reasoned greedy - direct", greedy, direct),
    ("majority - one sample", majority, one),
    ("majority - reasoned greedy", majority, greedy),
    ("beta stop - majority", beta, majority),
):
    interval = difference_interval([b - w for b, w in zip(better, worse, strict=True)])
    print(f"{name:<34} {interval.mean:+6.3f}  [{interval.low:+.3f}, {interval.high:+.3f}]")

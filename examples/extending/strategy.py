"""A strategy: best of n. Several samples are drawn, and the one that the model finds most probable is the answer."""

from collections.abc import Mapping, Sequence

import promptkit as pk


@pk.register("aggregator", "most_probable", logprobs=True)
def most_probable(samples: Sequence[pk.ReadSample]) -> Mapping[str, float]:
    """Scores each answer by its sample of the highest mean token log-probability."""
    best: dict[str, float] = {}
    for sample in samples:
        best[sample.answer] = max(best.get(sample.answer, -float("inf")), sample.mean_logprob or 0.0)
    return best


@pk.register("strategy", "best_of_n")
@pk.settings
class BestOfN:
    """Draws n samples and keeps the most probable one."""

    task: pk.Task
    n: int = 5
    shots: int = 4
    temperature: float = 0.8

    def fit(
        self,
        examples: Sequence[pk.Example],
        backend: pk.Backend,
        *,
        dev: Sequence[pk.Example] | None = None,
        seed: int = 0,
    ) -> pk.PlanPredictor:
        """Chooses demonstrations as few-shot prompting does, and samples instead of decoding greedily."""
        fitted = pk.FewShot(self.task, shots=self.shots).fit(examples, backend, dev=dev, seed=seed)
        sampling = {"samples": self.n, "temperature": self.temperature}
        how = {"kind": "best_of_n", **sampling, "aggregate": pk.Aggregation(rule="most_probable")}
        return pk.PlanPredictor(fitted.plan.model_copy(update=how), self.task, backend)

"""An aggregator: complexity-based consistency (Fu et al. 2022, arXiv 2210.00720), where longer reasonings vote."""

from collections import Counter
from collections.abc import Mapping, Sequence

import promptkit as pk

SHARE = 0.5


@pk.register("aggregator", "complexity")
def complexity(samples: Sequence[pk.ReadSample]) -> Mapping[str, float]:
    """Counts the half of the samples with the most steps of reasoning."""
    steps = sorted((sample.reasoning.count(".") for sample in samples), reverse=True)
    least = steps[int((len(steps) - 1) * SHARE)]
    return Counter(sample.answer for sample in samples if sample.reasoning.count(".") >= least)

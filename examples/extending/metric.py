"""A metric: how close a number comes to the target, where exact match only says whether it is equal."""

import promptkit as pk


@pk.register("metric", "closeness")
def closeness(answer: str, target: str) -> float:
    """One minus the relative error of a number, 0 for an answer that is no number."""
    try:
        error = abs(float(answer) - float(target)) / max(abs(float(target)), 1.0)
    except ValueError:
        return 0.0
    return max(0.0, 1.0 - error)

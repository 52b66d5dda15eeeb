"""A record as a climb of five rungs over 200 items leaves it, made by code."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import promptkit as pk

NAMES = ("zero-shot", "few-shot", "chain of thought with voting", "soft prompt", "LoRA")
SKILL = (0.38, 0.61, 0.63, 0.84, 0.93)
TOKENS = (42.0, 512.0, 1890.0, 66.0, 45.0)
SECONDS = (0.031, 0.066, 0.94, 0.037, 0.036)
FIT = (0.1, 41.0, 58.0, 186.0, 312.0)
LABELS = ("billing", "technical", "delivery", "cancellation")
TOPICS = ("my invoice shows twice the amount", "the app closes when I log in", "the parcel is still not here",
          "please end my contract", "退款还没有到账", "لم تصلني الفاتورة حتى الآن", "love it 👩‍👩‍👧 but it crashes 💥")  # fmt: skip


def sample(*, items: int = 200, seed: int = 0, text: Callable[[str], str] = lambda text: text) -> pk.Record:
    """Makes the record.

    Args:
        items: Number of judged items.
        seed: Seed of everything.
        text: Changes every text that comes from outside: names, inputs, outputs, labels, errors, reasons, prompts.
    """
    rng = random.Random(seed)
    keys = [f"dev/{place}" for place in range(items)]
    truth = [rng.choice(LABELS) for _ in keys]
    difficulty = [rng.random() for _ in keys]
    asked = {
        key: {"id": text(f"dev-{place}"), "split": "dev", "targets": [text(truth[place])],
              "fields": {"subject": text(f"Ticket {place}"), "message": text(f"{rng.choice(TOPICS)}, ticket {place}")}}
        for place, key in enumerate(keys)
    }  # fmt: skip
    trials = [_attempt(rng, place, keys, truth, difficulty, text) for place in range(len(NAMES))]
    kept = None
    for trial in trials:
        trial["test"], trial["verdict"], trial["reason"] = _duel(trial, kept, text)
        if trial["verdict"] in ("first", "kept"):
            kept = trial
    failed = {
        **trials[3],
        "verdict": "failed",
        "reason": text("BackendError: out of memory <at step 12>"),
        "number": 1,
    }
    failed |= {
        "score": None,
        "test": None,
        "cost": None,
        "fit": None,
        "results": [],
        "prompts": [],
        "lower_bound": None,
    }
    trials[3]["number"] = 2
    trials.insert(3, failed)
    return pk.Record.model_validate(_frame(trials, asked, items, text))


def _attempt(
    rng: random.Random, place: int, keys: list[str], truth: list[str], difficulty: list[float], text: Any
) -> dict[str, Any]:
    results = []
    for key, right, hard in zip(keys, truth, difficulty, strict=True):
        score = float(hard + rng.gauss(0, 0.12) < SKILL[place])
        answer = right if score else rng.choice([one for one in LABELS if one != right])
        outcome = {"item": key, "score": score, "answer": text(answer), "text": text(f" {answer}"), "calls": 1,
                   "prompt_tokens": round(TOKENS[place]), "generated_tokens": 4, "seconds": SECONDS[place]}  # fmt: skip
        if not score and rng.random() < 0.1:
            outcome |= {"answer": None, "text": text("I cannot say which")}
        elif not score and rng.random() < 0.05:
            outcome |= {"answer": None, "text": "", "error": text("BackendError: the server closed the connection")}
        if place == 2:
            outcome |= {
                "samples": 8,
                "agreement": 0.75,
                "calls": 8,
                "text": text(f"The ticket asks about {answer}. So: {answer}"),
            }
        results.append(outcome)
    n, total = len(keys), sum(one["score"] for one in results)
    tokens, seconds = TOKENS[place], SECONDS[place]
    trained = {"training_tokens": 240_000, "trainable_parameters": 20_480 * place, "artifact_bytes": 91_000 * place}
    return {
        "rung": text(NAMES[place]), "place": place, "kind": "few_shot" if place < 3 else "lora",
        "settings": {"shots": 8 * (place in (1, 2)), "note": text("as planned")}, "verdict": "kept", "reason": "",
        "detail": text(("", "8 shots", "8 shots, up to 8 samples", "16 vectors", "rank 8")[place]),
        "prior": [text("searched demonstrations of few-shot")] if place > 1 else [],
        "score": bounds(total / n, n), "lower_bound": max(0.0, total / n - 0.11), "upper_bound": min(1.0, total / n + 0.11),
        "cost": {"items": n, "calls": n, "prompt_tokens": round(tokens * n), "cached_tokens": 0, "generated_tokens": 4 * n,
                 "prompt_tokens_per_item": tokens, "generated_tokens_per_item": 4.0, "seconds": seconds * n,
                 "seconds_median": seconds * 0.94, "seconds_p95": seconds * 1.6, "peak_memory_bytes": 612_000_000},
        "fit": {"seconds": FIT[place], "calls": 600 * (place == 1), "prompt_tokens": 310_000 * (place == 1),
                "generated_tokens": 2_400 * (place == 1), "artifact": f"fits/{place}", "examples": 500, "tuning": 100,
                "notes": {"trials": [0.5, 0.61, text("a trial")]} if place == 1 else {}, **(trained if place > 2 else {})},
        "answered": sum(one["answer"] is not None for one in results),
        "unanswered": sum(one["answer"] is None and "error" not in one for one in results),
        "failed": sum("error" in one for one in results),
        "prompts": [
            {"item": keys[0], "text": text(f"Which team?\n\nTicket: {TOPICS[-1]}\nTeam: technical\n\nTicket: {TOPICS[4]}\nTeam:"),
             "weights": text("soft_prompt of 16 tokens") if place == 3 else ""},
            {"item": keys[1], "messages": [{"role": "system", "content": text("Which team?")},
                                           {"role": "user", "content": text(f"Ticket: {TOPICS[5]}")}]},
        ],
        "results": results,
    }  # fmt: skip


def _duel(trial: dict[str, Any], kept: dict[str, Any] | None, text: Any) -> tuple[dict[str, Any] | None, str, str]:
    if kept is None:
        return None, "first", text("the cheapest rung that can be judged")
    pairs = zip(trial["results"], kept["results"], strict=True)
    gains = [one["score"] - other["score"] for one, other in pairs]
    analyses, low, high = [], -1.0, 1.0
    for n in range(20, len(gains) + 1, 20):
        mean, reach = sum(gains[:n]) / n, 0.9 / n**0.5
        low, high = max(low, mean - reach), min(high, mean + reach)
        analyses.append({"items": n, "difference": mean, "low": min(low, mean), "high": max(high, mean)})
        if low > 0.02:
            break
    last, n = analyses[-1], analyses[-1]["items"]
    won = last["low"] > 0.02
    test = {
        "against": kept["rung"], "items": n, "planned": len(gains), "margin": 0.02, "p_value": 0.00004 if won else 0.41,
        "alpha": 0.0125, "effect": 0.4, "better": sum(x > 0 for x in gains[:n]), "worse": sum(x < 0 for x in gains[:n]),
        "equal": sum(x == 0 for x in gains[:n]), "analyses": analyses, "method": "always valid",
        **{name: last[name] for name in ("difference", "low", "high")},
    }  # fmt: skip
    said = f"{last['difference']:+.3f} [{last['low']:+.3f}, {last['high']:+.3f}] on {n} of {len(gains)} items"
    if won:
        return test, "kept", text(f"gains more than 0.02: {said}")
    return test, "undecided", text(f"no gain above 0.02 could be shown: {said}")


def _frame(trials: list[dict[str, Any]], asked: dict[str, Any], items: int, text: Any) -> dict[str, Any]:
    split = {"items": items, "fingerprint": "9f3ac1d2e4b56780"}
    metric = text("exact_match")
    won = trials[-1]
    return {
        "promptkit": "0.1.0", "status": "finished",
        "answer": text("LoRA (rank 8) is enough: exact_match 0.915 [0.869, 0.946] on 200 test items; the target of 0.8 is reached."),
        "task": {"name": text("tickets"), "description": text("Which team?"), "fields": ["subject", "message"],
                 "labels": [text(one) for one in LABELS], "metric": metric, "metrics": [metric]},
        "model": {"name": text("reference"), "fingerprint": "c0ffee", "context_window": 1024},
        "data": {"name": text("tickets"), "train": split, "dev": split, "test": split, "tuning": 100, "judged": items,
                 "detectable": 0.097,
                 "leakage": [{"split": "test", "inside": "train", "exact": 0, "normalised": 0, "near": 2}]},
        "settings": {"target": {metric: 0.8}, "minutes": 10.0, "tokens": None, "calls": None, "margin": 0.02,
                     "confidence": 0.95, "seed": 0, "block": 20, "rungs": [text(name) for name in NAMES]},
        "trials": trials,
        "decision": {"winner": won["rung"], "stopped": "target", "reached": True,
                     "reason": text("the lower bound of LoRA, 0.815, reaches the target of 0.8")},
        "test": {"reads": [{"purpose": text("fingerprint"), "items": 200, "scored": False},
                           {"purpose": text("score of the winner"), "items": 200, "scored": True}],
                 "score": bounds(0.915, 200), "metrics": {metric: bounds(0.915, 200)}, "dev_mean": won["score"]["mean"],
                 "optimism": won["score"]["mean"] - 0.915, "optimism_low": -0.042, "optimism_high": 0.061,
                 "answered": 199, "failed": 1, "error": ""},
        "items": asked, "seconds": 812.4, "calls": 3120, "prompt_tokens": 1_204_331, "generated_tokens": 41_002,
        "started": "2026-11-20T09:12:44+00:00", "finished": "2026-11-20T09:26:20+00:00", "resumed": 1,
        "versions": {"python": "3.11.7", "torch": "2.13.0"}, "machine": text("Linux x86_64"),
    }  # fmt: skip


def bounds(mean: float, n: int) -> dict[str, Any]:
    reach = 1.96 * (max(mean * (1 - mean), 0.01) / n) ** 0.5
    return {"mean": mean, "low": max(0.0, mean - reach), "high": min(1.0, mean + reach), "n": n,
            "confidence": 0.95, "method": "bootstrap"}  # fmt: skip

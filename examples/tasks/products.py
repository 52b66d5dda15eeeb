"""Questions about the finance products of the fictional firm Veltrano, answered from a sheet of facts."""

from __future__ import annotations

import random
from collections.abc import Iterator

NAMES = "Quillmark Osmery Brindle Tarrowby Fennimore Halden Kestrel Marlowe Pennywhistle Sablecote Thornbury Wexcombe".split()
KINDS = "Account Fund Card Loan Plan Deposit Bond Policy".split()
PEOPLE = "Tom Ann Mia Leo Eva Max Lucy Paul Rosa Carl Nina Erik Omar Sara Ivan Vera Hugo Olga Noah Maya".split()
COUNTRIES = (
    "France Spain Italy Brazil Japan China India Egypt Kenya Canada Mexico Peru Chile Norway Sweden Poland".split()
)
ASK = {
    "fee": ("What is the fee of {p}?", "How much does {p} cost?"),
    "term": ("How long does {p} run?", "What is the term of {p}?"),
    "minimum": ("What is the minimum for {p}?", "How much do I need at least for {p}?"),
    "risk": ("How risky is {p}?", "What is the risk of {p}?"),
    "region": ("Where is {p} offered?", "In which country can I get {p}?"),
    "contact": ("Who is the contact for {p}?", "Whom do I call about {p}?"),
}


def _facts(rng: random.Random) -> dict[str, str]:
    values = {
        "fee": f"{rng.randint(1, 9)} percent" if rng.random() < 0.5 else f"{rng.randint(2, 60)} dollars",
        "term": f"{rng.randint(2, 30)} {rng.choice(('years', 'months'))}",
        "minimum": f"{rng.randint(1, 90) * 100} {rng.choice(('dollars', 'euros', 'pounds'))}",
        "risk": rng.choice(("low", "medium", "high", "very low", "very high")),
        "region": rng.choice(COUNTRIES),
        "contact": rng.choice(PEOPLE),
    }
    return {key: values[key] for key in rng.sample(list(values), 3)}


def rows(rng: random.Random) -> Iterator[dict[str, object]]:
    """Yields questions for ever, each with the facts of two products; the key asked for is in one of them."""
    while True:
        names = [f"{name} {rng.choice(KINDS)}" for name in rng.sample(NAMES, 2)]
        sheets = [_facts(rng) for _ in names]
        facts = "\n".join(
            f"{name}: " + ", ".join(f"{k} {v}" for k, v in sheet.items())
            for name, sheet in zip(names, sheets, strict=True)
        )
        place = rng.randrange(2)
        key = rng.choice(list(sheets[place]))
        yield {"facts": facts, "question": rng.choice(ASK[key]).format(p=names[place]), "target": sheets[place][key]}

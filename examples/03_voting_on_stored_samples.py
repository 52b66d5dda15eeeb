"""Self-consistency on samples that you already have: no model, any source.

Run ``python examples/03_voting_on_stored_samples.py``.
"""

import promptkit as pk

samples = [
    "She has 2, buys 3: 2 + 3 = 5. The answer is 5.",
    "2 times 3 is 6. The answer is 6.",
    "3 bought on top of 2 make 5. The answer is 5.",
    "2 times 3 is 6. The answer is 6.",
    "I am not sure.",
]
parser = pk.load_task("apples").parser("reasoned")

for rule in ("majority", "distinct"):
    outcome = pk.vote(samples, parser=parser, rule=rule)
    print(
        f"{rule:<9} answer {outcome.answer}  votes {dict(outcome.votes)}  agreement {outcome.agreement:.0%}  tie {outcome.tie}"
    )

agreeing = ["2 + 3 = 5. The answer is 5."] * 20
outcome = pk.vote(agreeing, parser=parser, stop=pk.BetaStop(0.95))
print(f"beta rule: {outcome.samples_used} of {len(agreeing)} samples used, answer {outcome.answer}")

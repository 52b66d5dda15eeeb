from __future__ import annotations

import numpy as np
import pytest
import torch

from promptkit.backends.local.sampling import Draw, choose, gumbel, noise_key

GREEDY = Draw(0.0, 1.0, 0)


def draws(count: int, temperature: float = 1.0, top_p: float = 1.0) -> list[Draw]:
    return [Draw(temperature, top_p, noise_key(3, (1, 2), index)) for index in range(count)]


def test_noise_depends_on_seed_prompt_index_and_step_and_on_nothing_else() -> None:
    keys = {
        noise_key(*parts) for parts in [(0, (1, 2), 0), (1, (1, 2), 0), (0, (1, 3), 0), (0, (1, 2), 1), (0, (1,), 2)]
    }
    assert len(keys) == 5
    key = noise_key(0, (1, 2), 0)
    assert np.array_equal(gumbel(key, 4, 50), gumbel(key, 4, 50))
    assert not np.intersect1d(gumbel(key, 4, 500), gumbel(key, 5, 500)).size
    assert np.array_equal(gumbel(key, 4, 50), gumbel(key, 4, 80)[:50])


def test_noise_of_a_sample_is_pinned() -> None:
    # Samples must stay the same from release to release: saved answers are compared with them.
    assert np.round(gumbel(noise_key(0, (5, 6, 7), 2), 1, 3), 6).tolist() == [0.118385, 0.714113, -0.06747]


def test_noise_is_gumbel() -> None:
    noise = gumbel(noise_key(0, (1,), 0), 0, 200_000)
    assert abs(noise.mean() - np.euler_gamma) < 0.02
    assert abs(noise.var() - np.pi**2 / 6) < 0.05


def test_samples_follow_the_softmax() -> None:
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0])
    for temperature in (1.0, 2.5):
        tokens, _ = choose(logits.expand(8000, 4).contiguous(), draws(8000, temperature), 0)
        shares = np.bincount(tokens, minlength=4) / 8000
        assert np.abs(shares - (logits / temperature).softmax(-1).numpy()).max() < 0.02


def test_top_p_keeps_the_smallest_set_that_reaches_its_share() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(3000, 4).contiguous()
    for top_p, kept in ((0.5, {0}), (0.51, {0, 1}), (0.9, {0, 1, 2}), (1.0, {0, 1, 2, 3}), (1e-9, {0})):
        assert set(choose(logits, draws(3000, 1.0, top_p), 0)[0]) == kept


def test_rows_do_not_depend_on_their_neighbours() -> None:
    logits = torch.randn(6, 40, generator=torch.Generator().manual_seed(1))
    every = [GREEDY, *draws(5, 0.7, 0.9)]
    together, logprobs = choose(logits, every, 3)
    for row in range(6):
        alone, logprob = choose(logits[row : row + 1], [every[row]], 3)
        assert alone == [together[row]]
        assert logprob[0] == pytest.approx(logprobs[row], abs=1e-6)


def test_log_probabilities_are_those_of_temperature_1() -> None:
    logits = torch.tensor([[0.0, 1.0, 5.0]])
    for draw in (GREEDY, Draw(9.0, 0.4, 1)):
        tokens, logprobs = choose(logits, [draw], 0)
        assert logprobs[0] == pytest.approx(float(logits.log_softmax(-1)[0, tokens[0]]), abs=1e-6)


def test_greedy_takes_the_first_of_equals() -> None:
    assert choose(torch.zeros(2, 5), [GREEDY, GREEDY], 0)[0] == [0, 0]

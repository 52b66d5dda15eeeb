from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from promptkit.statistics.quantiles import normal_cdf, normal_quantile, student_cdf, student_quantile

FREEDOM = [1, 2, 3, 9, 49, 200, 201, 999, 100_000]


@pytest.mark.parametrize("df", FREEDOM)
@pytest.mark.parametrize("share", [0.001, 0.025, 0.5, 0.6, 0.975, 0.9995])
def test_student_equals_scipy(df: int, share: float) -> None:
    assert student_quantile(share, df) == pytest.approx(stats.t.ppf(share, df), rel=1e-6, abs=1e-9)
    if df <= 200:
        assert student_cdf(1.3, df) == pytest.approx(stats.t.cdf(1.3, df), abs=1e-12)


@pytest.mark.parametrize("z", [-37.0, -8.0, -1.96, 0.0, 1.0, 6.0])
def test_the_normal_equals_scipy_far_into_the_tail(z: float) -> None:
    assert normal_cdf(z) == pytest.approx(stats.norm.cdf(z), rel=1e-9)


@given(st.floats(0.001, 0.999))
def test_quantile_undoes_share(share: float) -> None:
    assert normal_cdf(normal_quantile(share)) == pytest.approx(share, abs=1e-9)
    assert student_cdf(student_quantile(share, 7), 7) == pytest.approx(share, abs=1e-9)

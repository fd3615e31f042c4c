from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.training._bins import bin_centres, two_hot


@given(st.floats(0, 1, allow_nan=False), st.integers(2, 60))
def test_two_hot_has_the_value_as_its_mean(value, bins):
    centres = bin_centres(bins)
    hot = two_hot(value, centres)
    found = math.fsum(p * c for p, c in zip(hot, centres, strict=True))
    assert found == pytest.approx(value, abs=1e-9)
    assert math.fsum(hot) == pytest.approx(1)
    assert sum(p > 0 for p in hot) <= 2
    assert min(hot) >= 0


def test_bins_outside_and_at_the_ends():
    centres = bin_centres(3, -1.0, 1.0)
    assert centres == [-1.0, 0.0, 1.0]
    assert two_hot(7.0, centres) == [0.0, 0.0, 1.0]
    assert two_hot(-7.0, centres) == [1.0, 0.0, 0.0]
    for bins, low, high in ((1, 0.0, 1.0), (5, 1.0, 1.0)):
        with pytest.raises(ConfigurationError, match="bins"):
            bin_centres(bins, low, high)

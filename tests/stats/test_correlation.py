"""Spearman's rho, layer by layer."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from core.stats.correlation import spearman


def profiles(levels: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Two profiles that share something; `levels` gives ties."""
    rng = np.random.default_rng(1)
    a = rng.uniform(0.5, 1, (5, 60))
    b = 0.5 * a + 0.5 * rng.uniform(0.5, 1, (5, 60))
    return (a, b) if levels is None else (np.round(a * levels), np.round(b * levels))


@pytest.mark.parametrize("levels", [None, 20, 4, 2])
def test_agrees_with_scipy_in_every_layer(levels: int | None) -> None:
    a, b = profiles(levels)
    expected = [spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    assert np.allclose(spearman(a, b), expected, atol=1e-12)


@pytest.mark.parametrize("levels", [None, 4])
def test_is_symmetric_and_bounded(levels: int | None) -> None:
    a, b = profiles(levels)
    assert np.array_equal(spearman(a, b), spearman(b, a))
    assert (np.abs(spearman(a, b)) <= 1 + 1e-12).all()


@pytest.mark.parametrize("levels", [None, 4])
def test_with_itself_is_one_and_with_its_reverse_minus_one(levels: int | None) -> None:
    a, _ = profiles(levels)
    assert np.allclose(spearman(a, a), 1, atol=1e-12)
    assert np.allclose(spearman(a, -a), -1, atol=1e-12)


def test_sees_ranks_only() -> None:
    a, b = profiles(None)
    assert np.array_equal(spearman(a, b), spearman(np.exp(5 * a), b**3))


def test_a_constant_layer_gives_nan_and_spoils_no_other() -> None:
    a, b = profiles(None)
    a[2] = 0.7
    rho = spearman(a, b)
    assert np.isnan(rho[2])
    assert np.isfinite(np.delete(rho, 2)).all()

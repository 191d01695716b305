import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from nws_jax.meta import stats


@given(st.integers(1, 500), st.data())
def test_wilson_is_scipys(n, data):
  hits = data.draw(st.integers(0, n))
  want = scipy_stats.binomtest(hits, n).proportion_ci(method='wilson')
  np.testing.assert_allclose(stats.wilson(hits / n, n), want, atol=1e-9)


def test_wilson_of_a_known_case():
  np.testing.assert_allclose(stats.wilson(0.8, 10), (0.4902, 0.9433), atol=1e-4)


def test_one_decision_a_network_is_wilsons():
  correct = np.array([1., 0, 1, 1, 1, 0])
  got = stats.accuracy(correct, np.arange(6))
  assert got[1:] == stats.wilson(4 / 6, 6)


def test_replicates_and_windows_widen():
  rng = np.random.default_rng(0)
  correct = np.repeat(rng.integers(0, 2, 20), 5).astype(float)
  alone = stats.accuracy(correct, np.arange(100))
  together = stats.accuracy(correct, np.repeat(np.arange(20), 5))
  assert together.high - together.low > 1.5 * (alone.high - alone.low)
  sure = stats.accuracy(np.ones(30), np.arange(30), decisions=16)
  assert sure[1:] == stats.wilson(1.0, 30)  # a bootstrap would have no width


def test_the_bootstrap_resamples_settings_and_is_repeatable():
  x = np.random.default_rng(0).normal(size=200)

  def draw(s, seed=0):
    return stats.bootstrap(
        lambda rows: x[rows].mean(), s, repetitions=2000, seed=seed)

  low, high = draw(np.arange(200))
  error = 1.96 * x.std() / np.sqrt(200)
  np.testing.assert_allclose((low, high), (x.mean() - error, x.mean() + error),
                             atol=0.02)
  assert draw(np.arange(200)) == (low, high) != draw(np.arange(200), 1)


def test_balanced_accuracy_and_confusion():
  labels = np.array([0, 0, 0, 0, 1, 1])
  predicted = np.array([0, 0, 0, 1, 1, 0])
  got = stats.balanced_accuracy(predicted, labels, np.arange(6))
  assert got.value == pytest.approx((3 / 4 + 1 / 2) / 2)
  assert got.low <= stats.wilson(got.value, 6)[0] < got.value < got.high
  np.testing.assert_array_equal(
      stats.confusion(predicted, labels, 2), [[3, 1], [1, 1]])


def test_regression_figures():
  target = np.array([1., 2, 3, 4])
  assert stats.r2(target, target) == 1
  assert stats.r2(np.full(4, 2.5), target) == 0
  assert stats.r2(-target, target) < 0
  assert stats.kendall_tau(target**3, target) == pytest.approx(1)
  assert stats.kendall_tau(np.ones(4), target) == 0
  assert stats.mean_absolute_error(target + [1, -1, 1, 1], target) == 1
  got = stats.regression(stats.r2, target + 0.1, target,
                         settings_M=np.arange(4), repetitions=200)
  assert got.low <= got.value <= 1


@pytest.mark.soak
@pytest.mark.parametrize('n', [24, 40, 200])
@pytest.mark.parametrize('p', [0.25, 0.5, 0.8, 0.97])
def test_intervals_cover(n, p):
  rng = np.random.default_rng(0)
  held = [low <= p <= high for low, high in (
      stats.accuracy((rng.random(n) < p).astype(float), np.arange(n))[1:]
      for _ in range(2000))]
  assert 0.92 <= np.mean(held) <= 0.99

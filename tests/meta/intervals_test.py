import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nws_jax.meta.figures import intervals


@given(st.integers(1, 500), st.data())
def test_wilson_is_scipys(n, data):
  hits = data.draw(st.integers(0, n))
  want = stats.binomtest(hits, n).proportion_ci(method='wilson')
  np.testing.assert_allclose(intervals.wilson(hits / n, n), want, atol=1e-9)


def test_wilson_of_a_known_case():
  np.testing.assert_allclose(
      intervals.wilson(0.8, 10), (0.4902, 0.9433), atol=1e-4)


def test_one_decision_a_network_is_wilsons():
  correct = np.array([1., 0, 1, 1, 1, 0])
  got = intervals.accuracy(correct, np.arange(6))
  student = stats.t.ppf(0.975, 5)
  assert got[1:] == pytest.approx(intervals.wilson(4 / 6, 6, student))


def test_replicates_and_windows_widen():
  rng = np.random.default_rng(0)
  correct = np.repeat(rng.integers(0, 2, 20), 5).astype(float)
  alone = intervals.accuracy(correct, np.arange(100))
  together = intervals.accuracy(correct, np.repeat(np.arange(20), 5))
  assert together.high - together.low > 1.5 * (alone.high - alone.low)
  sure = intervals.accuracy(np.ones(30), np.arange(30), decisions=16)
  assert 0.8 < sure.low < 0.9 and sure.high == 1  # a bootstrap had no width


def test_the_bootstrap_resamples_settings_and_is_repeatable():
  x = np.random.default_rng(0).normal(size=200)

  def draw(s, seed=0):
    return intervals.bootstrap(
        lambda rows: x[rows].mean(), s, repetitions=2000, seed=seed)

  low, high = draw(np.arange(200))
  error = 1.96 * x.std() / np.sqrt(200)
  np.testing.assert_allclose((low, high), (x.mean() - error, x.mean() + error),
                             atol=0.02)
  assert draw(np.arange(200)) == (low, high) != draw(np.arange(200), 1)


def test_balanced_accuracy_and_confusion():
  labels = np.array([0, 0, 0, 0, 1, 1])
  predicted = np.array([0, 0, 0, 1, 1, 0])
  got = intervals.balanced_accuracy(predicted, labels, np.arange(6))
  assert got.value == pytest.approx((3 / 4 + 1 / 2) / 2)
  assert got.low <= intervals.wilson(got.value, 6)[0] < got.value < got.high
  np.testing.assert_array_equal(
      intervals.confusion(predicted, labels, 2), [[3, 1], [1, 1]])


def _r2(predicted, true):
  return 1 - np.sum((predicted - true)**2) / np.sum((true - true.mean())**2)


def test_explained_is_resampled_r2():
  rng = np.random.default_rng(0)
  true = rng.normal(size=30)
  predicted, settings = true + rng.normal(size=30), np.arange(30) // 2
  got = intervals.explained((predicted - true)**2, true, settings_M=settings,
                        repetitions=300)
  one_by_one = intervals.bootstrap(
      lambda rows: _r2(predicted[rows], true[rows]), settings,
      repetitions=300, seed=0)
  np.testing.assert_allclose(got, (_r2(predicted, true), *one_by_one))
  assert intervals.explained(
      np.zeros(30), true, settings_M=settings) == (1, 1, 1)
  nothing = intervals.explained(np.ones(4), np.full(4, 0.1),
                            settings_M=np.arange(4), repetitions=20)
  assert np.isnan(nothing).all()


def test_balanced_accuracy_is_resampled_recall():
  rng = np.random.default_rng(0)
  labels, predicted = rng.integers(0, 3, (2, 200))

  def recall(rows):
    right = predicted[rows] == labels[rows]
    return np.mean([right[labels[rows] == k].mean() for k in range(3)])

  got = intervals.balanced_accuracy(
      predicted, labels, np.arange(200), repetitions=300)
  assert got.value == pytest.approx(recall(np.arange(200)))
  low, high = intervals.bootstrap(
      recall, np.arange(200), repetitions=300, seed=0)
  least = intervals.wilson(got.value, 200, stats.t.ppf(0.975, 199))
  np.testing.assert_allclose(
      got[1:], (min(low, least[0]), max(high, least[1])))


def test_a_mean_is_resampled():
  x = np.random.default_rng(0).normal(size=40)
  got = intervals.average(x, settings_M=np.arange(40) // 4, repetitions=200)
  want = intervals.bootstrap(lambda rows: x[rows].mean(), np.arange(40) // 4,
                         repetitions=200, seed=0)
  np.testing.assert_allclose(got, (x.mean(), *want))


def test_regression_figures():
  target = np.array([1., 2, 3, 4])
  assert intervals.kendall_tau(target**3, target) == pytest.approx(1)
  assert intervals.kendall_tau(np.ones(4), target) == 0
  got = intervals.regression(intervals.kendall_tau, target + 0.1, target,
                         settings_M=np.arange(4), repetitions=200)
  assert got.value == 1 and got.low <= got.high <= 1


def _cover(n, p, repetitions, replicates=1):
  """How often the interval of an accuracy holds the accuracy."""
  rng = np.random.default_rng([n, round(1000 * p), replicates])
  held = []
  for _ in range(repetitions):
    share_S = np.full(n, p)
    if replicates > 1:  # of a setting, alike at a correlation of a half
      share_S = rng.beta(p, 1 - p, n)
    right_M = rng.random(n * replicates) < np.repeat(share_S, replicates)
    _, low, high = intervals.accuracy(
        right_M.astype(float), np.repeat(np.arange(n), replicates))
    held.append(low <= p <= high)
  return np.mean(held)


@pytest.mark.parametrize('n, p', [(24, 0.2), (40, 0.2), (40, 0.97), (200, 0.5)])
def test_intervals_cover(n, p):
  assert 0.90 <= _cover(n, p, 400) <= 0.995  # 3 errors beside 93 to 98 %


@pytest.mark.soak
@pytest.mark.parametrize('replicates', [1, 2])
@pytest.mark.parametrize('n', [24, 40, 200])
@pytest.mark.parametrize(
    'p', [0.1, 0.2, 0.25, 1 / 3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97])
def test_intervals_cover_in_full(n, p, replicates):
  assert 0.93 <= _cover(n, p, 2000, replicates) <= 0.98

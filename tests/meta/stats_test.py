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
  student = scipy_stats.t.ppf(0.975, 5)
  assert got[1:] == pytest.approx(stats.wilson(4 / 6, 6, student))


def test_replicates_and_windows_widen():
  rng = np.random.default_rng(0)
  correct = np.repeat(rng.integers(0, 2, 20), 5).astype(float)
  alone = stats.accuracy(correct, np.arange(100))
  together = stats.accuracy(correct, np.repeat(np.arange(20), 5))
  assert together.high - together.low > 1.5 * (alone.high - alone.low)
  sure = stats.accuracy(np.ones(30), np.arange(30), decisions=16)
  assert 0.8 < sure.low < 0.9 and sure.high == 1  # a bootstrap had no width


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


def _cover(n, p, repetitions, replicates=1):
  """How often the interval of an accuracy holds the accuracy."""
  rng = np.random.default_rng([n, round(1000 * p), replicates])
  held = []
  for _ in range(repetitions):
    share_S = np.full(n, p)
    if replicates > 1:  # of a setting, alike at a correlation of a half
      share_S = rng.beta(p, 1 - p, n)
    right_M = rng.random(n * replicates) < np.repeat(share_S, replicates)
    _, low, high = stats.accuracy(
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


def test_paired_differences_are_mcnemars():
  rng = np.random.default_rng(0)
  a, b = (rng.random((2, 50)) < [[0.8], [0.6]]).astype(float)
  only_a, only_b = np.sum(a > b), np.sum(b > a)
  want = scipy_stats.binomtest(int(only_a), int(only_a + only_b)).pvalue
  assert stats.compare(a, b, np.arange(50)) == pytest.approx(want)
  assert stats.compare(a, a, np.arange(50)) == 1


def test_paired_differences_of_replicates_count_once():
  a = np.ones(8)
  b = np.r_[np.zeros(6), 1, 1]
  alone = stats.compare(a, b, np.arange(8))
  together = stats.compare(a, b, np.repeat(np.arange(4), 2))
  assert alone == pytest.approx(2 / 2**6)
  assert together == pytest.approx(2 / 2**3)


def test_random_signs_come_near_the_exact_p_value():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(2, 8)) + [[0.8], [0]]
  signs = np.array(np.meshgrid(*[(-1, 1)] * 8)).reshape(8, -1)
  exact = np.mean(np.abs((a - b) @ signs) >= abs((a - b).sum()) - 1e-9)
  assert stats.compare(a, b, np.arange(8)) == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize('regressed', [False, True])
def test_p_values_of_nothing_are_uniform(regressed):
  rng = np.random.default_rng(0)
  found = []
  for _ in range(200):
    true, said = rng.integers(0, 3, (2, 30))
    if regressed:
      true, said = rng.normal(size=(2, 30))
    found.append(stats.exceed_chance(
        said, true, np.arange(30), repetitions=199))
  for level in (0.05, 0.2, 0.5):  # not more often small than a uniform one
    assert np.mean(np.array(found) <= level) < level + 3 * np.sqrt(
        level * (1 - level) / 200)
  assert np.mean(found) < 0.65


def test_a_majority_gains_nothing():
  true = np.r_[np.zeros(40, int), np.ones(10, int)]
  assert stats.exceed_chance(
      np.zeros(50, int), true, np.arange(50), repetitions=99) == 1
  assert stats.exceed_chance(
      true, true, np.arange(50), repetitions=999) == pytest.approx(0.001)


def test_moves_are_orders_and_keep_settings_whole():
  settings = np.array([3, 3, 1, 1, 2, 2])
  for order in stats.move(settings, 20, np.random.default_rng(0)):
    np.testing.assert_array_equal(np.sort(order), np.arange(6))
    np.testing.assert_array_equal(settings[order][::2], settings[order][1::2])


def test_holm_by_hand():
  np.testing.assert_allclose(
      stats.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
  np.testing.assert_allclose(stats.holm([0.9, 0.5]), [1, 1])

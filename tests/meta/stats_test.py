import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from nws_jax.meta.figures import stats


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


def _r2(said, true):
  return 1 - np.sum((said - true)**2) / np.sum((true - true.mean())**2)


def test_explained_is_resampled_r2():
  rng = np.random.default_rng(0)
  true = rng.normal(size=30)
  said, settings = true + rng.normal(size=30), np.arange(30) // 2
  got = stats.explained((said - true)**2, true, settings_M=settings,
                        repetitions=300)
  one_by_one = stats.bootstrap(lambda rows: _r2(said[rows], true[rows]),
                               settings, repetitions=300, seed=0)
  np.testing.assert_allclose(got, (_r2(said, true), *one_by_one))
  assert stats.explained(np.zeros(30), true, settings_M=settings) == (1, 1, 1)
  nothing = stats.explained(np.ones(4), np.full(4, 0.1),
                            settings_M=np.arange(4), repetitions=20)
  assert np.isnan(nothing).all()


def test_balanced_accuracy_is_resampled_recall():
  rng = np.random.default_rng(0)
  labels, said = rng.integers(0, 3, (2, 200))

  def recall(rows):
    right = said[rows] == labels[rows]
    return np.mean([right[labels[rows] == k].mean() for k in range(3)])

  got = stats.balanced_accuracy(said, labels, np.arange(200), repetitions=300)
  assert got.value == pytest.approx(recall(np.arange(200)))
  low, high = stats.bootstrap(recall, np.arange(200), repetitions=300, seed=0)
  least = stats.wilson(got.value, 200, scipy_stats.t.ppf(0.975, 199))
  np.testing.assert_allclose(
      got[1:], (min(low, least[0]), max(high, least[1])))


def test_a_mean_is_resampled():
  x = np.random.default_rng(0).normal(size=40)
  got = stats.average(x, settings_M=np.arange(40) // 4, repetitions=200)
  want = stats.bootstrap(lambda rows: x[rows].mean(), np.arange(40) // 4,
                         repetitions=200, seed=0)
  np.testing.assert_allclose(got, (x.mean(), *want))


def test_regression_figures():
  target = np.array([1., 2, 3, 4])
  assert stats.kendall_tau(target**3, target) == pytest.approx(1)
  assert stats.kendall_tau(np.ones(4), target) == 0
  got = stats.regression(stats.kendall_tau, target + 0.1, target,
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
    found += stats.exceed_chance(
        said[None], true, np.arange(30), repetitions=199).tolist()
  for level in (0.05, 0.2, 0.5):  # not more often small than a uniform one
    assert np.mean(np.array(found) <= level) < level + 3 * np.sqrt(
        level * (1 - level) / 200)
  assert np.mean(found) < 0.65


def test_a_majority_gains_nothing():
  true = np.r_[np.zeros(40, int), np.ones(10, int)]
  np.testing.assert_allclose(stats.exceed_chance(
      np.stack([np.zeros(50, int), true]), true, np.arange(50),
      repetitions=999), [1, 0.001])


@pytest.mark.parametrize('regressed', [False, True])
def test_p_values_are_counted_order_by_order(regressed):
  rng = np.random.default_rng(1)
  true, said = rng.integers(0, 3, (2, 12))
  if regressed:
    true, said = rng.normal(size=(2, 12))
  orders = stats.move(np.arange(12), 99, np.random.default_rng(0))
  error = (lambda a, b: (a - b)**2) if regressed else np.not_equal
  extreme = sum(error(said, true[order]).sum() <= error(said, true).sum()
                for order in orders)
  assert stats.exceed_chance(said[None], true, np.arange(12), repetitions=99
                             ) == pytest.approx((1 + extreme) / 100)


def test_moves_are_orders_and_keep_settings_whole():
  settings = np.array([3, 3, 1, 1, 2, 2])
  for order in stats.move(settings, 20, np.random.default_rng(0)):
    np.testing.assert_array_equal(np.sort(order), np.arange(6))
    np.testing.assert_array_equal(settings[order][::2], settings[order][1::2])


def test_settings_stay_whole_where_they_differ_in_size():
  settings = np.array([3, 3, 1, 2, 2, 0])
  orders = stats.move(settings, 50, np.random.default_rng(0))
  np.testing.assert_array_equal(
      np.sort(orders), np.tile(np.arange(6), (50, 1)))
  assert (settings[orders[:, 0]] == settings[orders[:, 1]]).all()
  assert set(settings[orders[:, 0]]) == {3, 2}
  assert set(settings[orders[:, 2]]) == {1, 0}


def test_what_differs_within_settings_alone_can_exceed_chance():
  """As epochs do: every setting holds the same labels, in the same order."""
  settings, labels = np.repeat(np.arange(8), 3), np.tile(np.arange(3), 8)
  p = stats.exceed_chance(np.stack([labels, np.roll(labels, 1)]), labels,
                          settings, repetitions=99)
  assert p[0] == 0.01 and p[1] > 0.9


def test_p_values_know_no_scale():
  rng = np.random.default_rng(3)
  settings, truth = np.arange(40), rng.normal(size=40)
  said = truth + rng.normal(size=(2, 40)) * [[1], [3]]
  by_scale = []
  for scale in (1, 1e-6):
    errors = (scale * (said - truth))**2
    by_scale.append([stats.compare(*errors, settings), *stats.exceed_chance(
        scale * said, scale * truth, settings, repetitions=199)])
  assert by_scale[0] == by_scale[1]
  assert max(by_scale[0][:2]) < 0.05


def test_holm_by_hand():
  np.testing.assert_allclose(
      stats.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
  np.testing.assert_allclose(stats.holm([0.9, 0.5]), [1, 1])

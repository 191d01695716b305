import numpy as np
import pytest
from scipy import stats

from nws_jax.meta.figures import significance


def test_paired_differences_are_mcnemars():
  rng = np.random.default_rng(0)
  a, b = (rng.random((2, 50)) < [[0.8], [0.6]]).astype(float)
  only_a, only_b = np.sum(a > b), np.sum(b > a)
  want = stats.binomtest(int(only_a), int(only_a + only_b)).pvalue
  assert significance.compare(a, b, np.arange(50)) == pytest.approx(want)
  assert significance.compare(a, a, np.arange(50)) == 1


def test_paired_differences_of_replicates_count_once():
  a = np.ones(8)
  b = np.r_[np.zeros(6), 1, 1]
  alone = significance.compare(a, b, np.arange(8))
  together = significance.compare(a, b, np.repeat(np.arange(4), 2))
  assert alone == pytest.approx(2 / 2**6)
  assert together == pytest.approx(2 / 2**3)


def test_random_signs_come_near_the_exact_p_value():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(2, 8)) + [[0.8], [0]]
  signs = np.array(np.meshgrid(*[(-1, 1)] * 8)).reshape(8, -1)
  exact = np.mean(np.abs((a - b) @ signs) >= abs((a - b).sum()) - 1e-9)
  p = significance.compare(a, b, np.arange(8))
  assert p == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize('regressed', [False, True])
def test_p_values_of_nothing_are_uniform(regressed):
  rng = np.random.default_rng(0)
  found = []
  for _ in range(200):
    true, predicted = rng.integers(0, 3, (2, 30))
    if regressed:
      true, predicted = rng.normal(size=(2, 30))
    found += significance.exceed_chance(
        predicted[None], true, np.arange(30), repetitions=199).tolist()
  for level in (0.05, 0.2, 0.5):  # not more often small than a uniform one
    assert np.mean(np.array(found) <= level) < level + 3 * np.sqrt(
        level * (1 - level) / 200)
  assert np.mean(found) < 0.65


def test_a_majority_gains_nothing():
  true = np.r_[np.zeros(40, int), np.ones(10, int)]
  np.testing.assert_allclose(significance.exceed_chance(
      np.stack([np.zeros(50, int), true]), true, np.arange(50),
      repetitions=999), [1, 0.001])


@pytest.mark.parametrize('regressed', [False, True])
def test_p_values_are_counted_order_by_order(regressed):
  rng = np.random.default_rng(1)
  true, predicted = rng.integers(0, 3, (2, 12))
  if regressed:
    true, predicted = rng.normal(size=(2, 12))
  orders = significance.permute(np.arange(12), 99, np.random.default_rng(0))
  error = (lambda a, b: (a - b)**2) if regressed else np.not_equal
  observed = error(predicted, true).sum()
  extreme = sum(error(predicted, true[order]).sum() <= observed
                for order in orders)
  p = significance.exceed_chance(
      predicted[None], true, np.arange(12), repetitions=99)
  assert p == pytest.approx((1 + extreme) / 100)


def test_permutations_keep_settings_whole():
  settings = np.array([3, 3, 1, 1, 2, 2])
  for order in significance.permute(settings, 20, np.random.default_rng(0)):
    np.testing.assert_array_equal(np.sort(order), np.arange(6))
    np.testing.assert_array_equal(settings[order][::2], settings[order][1::2])


def test_settings_stay_whole_where_they_differ_in_size():
  settings = np.array([3, 3, 1, 2, 2, 0])
  orders = significance.permute(settings, 50, np.random.default_rng(0))
  np.testing.assert_array_equal(
      np.sort(orders), np.tile(np.arange(6), (50, 1)))
  assert (settings[orders[:, 0]] == settings[orders[:, 1]]).all()
  assert set(settings[orders[:, 0]]) == {3, 2}
  assert set(settings[orders[:, 2]]) == {1, 0}


def test_what_differs_within_settings_alone_can_exceed_chance():
  """As epochs do: every setting holds the same labels, in the same order."""
  settings, labels = np.repeat(np.arange(8), 3), np.tile(np.arange(3), 8)
  p = significance.exceed_chance(np.stack([labels, np.roll(labels, 1)]), labels,
                          settings, repetitions=99)
  assert p[0] == 0.01 and p[1] > 0.9


def test_p_values_know_no_scale():
  rng = np.random.default_rng(3)
  settings, truth = np.arange(40), rng.normal(size=40)
  predicted = truth + rng.normal(size=(2, 40)) * [[1], [3]]
  by_scale = []
  for scale in (1, 1e-6):
    errors = (scale * (predicted - truth))**2
    by_scale.append([
        significance.compare(*errors, settings), *significance.exceed_chance(
            scale * predicted, scale * truth, settings, repetitions=199)])
  assert by_scale[0] == by_scale[1]
  assert max(by_scale[0][:2]) < 0.05


def test_holm_by_hand():
  np.testing.assert_allclose(
      significance.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
  np.testing.assert_allclose(significance.holm([0.9, 0.5]), [1, 1])

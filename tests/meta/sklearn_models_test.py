import sys

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nws_jax import errors, published
from nws_jax.meta.classifiers import interface, table
from nws_jax.meta.classifiers import sklearn_models as sk
from nws_jax.meta.data import layouts, statistics
from tests.meta import real


def _rows(seed=0, count=90):
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, 3, count)
  rows = rng.normal(size=(count, 12))
  rows[:, 3] += 5 * labels
  rows[:, 5] = np.nan  # what no window has
  rows[::7, 6] = np.nan
  rows[0, 7] = np.inf
  return rows, labels, np.ones(count)


def _fit(name, train, valid, outputs, seed):
  return table.CLASSIFIERS[name].training.fit(
      interface.Rows(*train), interface.Rows(*valid), outputs, seed)


def test_statistics_are_numpys_and_scipys():
  rng = np.random.default_rng(0)
  window_L = rng.gumbel(size=60).astype(np.float32)
  part_L = np.repeat([0, 2, 3], [20, 39, 1])
  got = np.asarray(statistics.describe(
      jnp.asarray(window_L), jnp.asarray(part_L), 4)).reshape(4, 2, 9)
  for part in range(4):
    own = window_L[part_L == part]
    for side, x in enumerate((own, np.diff(own))):
      if not len(x):
        assert np.isnan(got[part, side]).all()
        continue
      np.testing.assert_allclose(got[part, side, :2], (x.mean(), x.var()),
                                 atol=1e-5)
      np.testing.assert_allclose(got[part, side, 4:], np.percentile(
          x, (0, 25, 50, 75, 100)), atol=1e-5)
      if len(x) > 1:
        np.testing.assert_allclose(got[part, side, 2:4], (
            stats.skew(x), stats.kurtosis(x, fisher=False)), rtol=1e-3)


def test_spectra_are_those_of_the_kernels_as_matrices():
  zoo = real.RealZoo(4)
  tensors = layouts.read(zoo.layers, [real.ARCH.name])
  zeros = np.zeros(4, int)
  got = statistics.measure_kernels(
      jnp.asarray(zoo.weights_MxP)[:, None], zeros, tensors, zeros,
      np.array([9999, 9999, 9999, 20])).reshape(4, -1, 2)
  assert np.isnan(got[3, -1]).all()  # not within its window
  for m in range(3):
    parts = published.layout(real.ARCH).split(zoo.weights_MxP[m])
    for (layer, part), found in zip(parts.items(), got[m]):
      values = np.linalg.svd(part['kernel'].reshape(
          len(part['kernel']), -1), compute_uv=False)
      shares = values / values.sum()
      np.testing.assert_allclose(found, (
          np.log(values[0]), np.exp(stats.entropy(shares))), rtol=1e-3)


@pytest.mark.parametrize('name', ['logistic', 'svm', 'boosting'])
def test_a_rung_learns_and_is_what_was_saved(name, tmp_path):
  train, valid, test = _rows(0), _rows(1), _rows(2)
  fitted = _fit(name, train, valid, 4, 0)  # one class is never seen
  said = sk.predict(fitted, test[0])
  assert said.shape == (90, 4) and np.isfinite(said).all()
  np.testing.assert_allclose(np.exp(said).sum(1), 1, atol=1e-5)
  assert np.mean(said.argmax(1) == test[1]) > 0.8
  np.testing.assert_array_equal(
      said, sk.predict(_fit(name, train, valid, 4, 0), test[0]))
  sk.write(tmp_path / 'a.skops', fitted)
  again = fitted._replace(estimator=sk.read(tmp_path / 'a.skops'))
  np.testing.assert_array_equal(sk.predict(again, test[0]), said)


@pytest.mark.parametrize('name', ['majority', 'logistic', 'svm', 'boosting'])
def test_a_number_is_regressed(name):
  train, valid, test = _rows(0), _rows(1), _rows(2)
  fitted = _fit(
      name, *((x, y - 1.0, w) for x, y, w in (train, valid)), 1, 0)
  said = sk.predict(fitted, test[0])
  assert said.shape == (90, 1)
  right = np.corrcoef(said[:, 0], test[1])[0, 1] if name != 'majority' else 1
  assert right > 0.85
  if name == 'majority':
    np.testing.assert_allclose(said, np.mean(train[1] - 1.0), atol=1e-6)


@pytest.mark.parametrize('name', ['logistic', 'svm', 'boosting'])
def test_a_weight_counts_as_so_many_rows(name):
  def share(weight):
    train, valid = (
        (x + np.eye(5)[0] * y[:, None], y, np.where(y == 1, weight, 1.0))
        for x, y in ((rng.normal(size=(90, 5)), rng.integers(0, 3, 90))
                     for rng in map(np.random.default_rng, (0, 1))))
    said = sk.predict(_fit(name, train, valid, 3, 0), valid[0])
    return np.exp(said)[:, 1].mean()

  assert share(20.0) > share(1.0) + 0.03


def test_the_majority_says_how_often():
  labels = np.array([0, 0, 0, 1])
  rows = np.zeros((4, 1)), labels, np.ones(4)
  said = sk.predict(
      _fit('majority', rows, rows, 3, 0), np.zeros((2, 1)))
  np.testing.assert_allclose(np.exp(said), [[0.75, 0.25, 0]] * 2, atol=1e-5)


def test_what_is_not_on_the_list_is_not_loaded(tmp_path):
  import fractions

  from skops import io
  io.dump({'a': fractions.Fraction(1, 2)}, tmp_path / 'a.skops')
  with pytest.raises(errors.Damaged, match='a.skops'):
    sk.read(tmp_path / 'a.skops')
  (tmp_path / 'b.skops').write_bytes(b'\x80\x04K\x01.')
  with pytest.raises(errors.Damaged, match='b.skops'):
    sk.read(tmp_path / 'b.skops')


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'sklearn', None)
  with pytest.raises(errors.Wrong, match=r'nws_jax\[baselines\]'):
    table.CLASSIFIERS['svm'].check_packages()
  table.CLASSIFIERS['majority'].check_packages()

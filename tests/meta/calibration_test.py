import numpy as np
import pytest

from nws_jax.meta.figures import calibration


def _draw(temperature, networks=4000, classes=3):
  """Log-probabilities that are too sure by `temperature`, and true classes."""
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(networks, classes)) * 2
  shares = calibration.soften(logits)
  labels = (rng.random(networks)[:, None] > shares.cumsum(1)).sum(1)
  return np.log(calibration.soften(logits * temperature)), labels


@pytest.mark.parametrize('temperature', [0.5, 1.0, 4.0])
def test_the_temperature_is_found(temperature):
  pooled, labels = _draw(temperature)
  got = calibration.fit_temperature(pooled, labels)
  assert got == pytest.approx(temperature, rel=0.1)


def test_few_rightly_read_networks_do_not_make_it_sure():
  pooled = np.log(np.full((12, 3), 0.01) + 0.97 * np.eye(3)[np.arange(12) % 3])
  labels = np.arange(12) % 3
  shares = calibration.soften(
      pooled, calibration.fit_temperature(pooled, labels))
  assert shares.max(1) == pytest.approx(13 / 15, abs=0.01)  # (n + 1) / (n + K)


def test_the_error_is_what_the_curve_says():
  shares = np.array([[0.95, 0.05]] * 8 + [[0.35, 0.65]] * 2)
  labels = np.array([0] * 6 + [1] * 2 + [1, 0])
  got = calibration.describe(shares, labels)
  assert [(r['low'], r['networks']) for r in got['curve']] == [(0.6, 2),
                                                               (0.9, 8)]
  assert [r['accuracy'] for r in got['curve']] == [0.5, 0.75]
  assert got['error'] == pytest.approx(0.2 * 0.15 + 0.8 * 0.2)


def test_true_probabilities_have_the_error_that_they_should():
  pooled, labels = _draw(1.0)
  errors, says = [], []
  for start in range(0, 4000, 100):
    some = slice(start, start + 100)
    about = calibration.describe(calibration.soften(pooled[some]), labels[some])
    errors.append(about['error'])
    says.append(about['if_true'])
  middle, most = np.mean(says, 0)
  assert np.median(errors) == pytest.approx(middle, abs=0.015)
  assert np.mean(errors <= most) >= 0.8
  assert middle > 0.04  # not 0


def test_softening_makes_it_true():
  pooled, labels = _draw(4.0)
  raw = calibration.describe(calibration.soften(pooled), labels)
  soft = calibration.describe(calibration.soften(pooled, 4.0), labels)
  assert soft['error'] < 0.03 < 0.1 < raw['error']
  assert soft['loss'] < raw['loss']

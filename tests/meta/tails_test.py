"""Numbers read from statistics that range over many orders of magnitude."""

import json

import hypothesis
import jax
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from nws_jax.meta.answers import score
from nws_jax.meta.classifiers import table
from nws_jax.meta.data import regions, splits, targets
from nws_jax.meta.training import cross_validation, fit, measure

_COUNT = 60
_ids_M = np.arange(_COUNT)


def _plant(seed, tail):
  """(features [M, F], values [M]): some tell the value, and none is tame."""
  rng = np.random.default_rng(seed)
  values_M = rng.uniform(size=_COUNT)
  noise_MxF = rng.normal(size=(_COUNT, 12))
  told_MxF = values_M[:, None] + 0.3 * noise_MxF
  features_MxF = np.sinh(np.clip(tail * told_MxF, -80, 80))
  features_MxF[:, 3:6] = rng.standard_t(0.3, size=(_COUNT, 3))
  features_MxF[:, 6] = 1e-7 * noise_MxF[:, 6]  # but for one network
  features_MxF[rng.integers(_COUNT), 6] = 1e9
  features_MxF[:, 7] = 1.0  # but for one network
  features_MxF[rng.integers(_COUNT), 7] = -1e20
  features_MxF[:, 8] = np.nan
  features_MxF[rng.integers(_COUNT, size=9), 9] = np.nan
  features_MxF[rng.integers(_COUNT), 10] = np.inf
  return features_MxF, values_M


def _decide(name, features_MxF, values_M):
  sides = splits.split(pd.DataFrame({'fold': _ids_M % 5}))
  outcome, = measure.decide(
      [regions.Numbers(features_MxF.clip(-3e38, 3e38))],
      [cross_validation.Trial(
          0, np.broadcast_to(values_M, (5, _COUNT)), sides, 1)],
      measure.Rules(table.CLASSIFIERS[name],
                    lambda span: fit.Plan(60, 20, 5, 32, 3e-3, span), 1),
      jax.random.key(0), lambda *at: None)
  return outcome


def _score(decisions, values_M):
  return score.regress(decisions, targets.Target(
      'test_accuracy', (), values_M), _ids_M, 20, brief=True)


@pytest.mark.parametrize('name', ['logistic', 'svm', 'boosting', 'fast'])
@hypothesis.given(st.integers(0, 10**6), st.floats(0, 60))
@hypothesis.settings(max_examples=8, deadline=None, derandomize=True,
                     phases=[hypothesis.Phase.generate])
def test_no_rung_is_far_worse_than_the_mean(name, seed, tail):
  features_MxF, values_M = _plant(seed, tail)
  decisions = _decide(name, features_MxF, values_M).tested[0]
  said_T = score.pool(decisions)[:, 0]
  assert values_M.min() <= said_T.min() and said_T.max() <= values_M.max()
  assert _score(decisions, values_M)['r2']['value'] > -1


def test_what_tells_is_read_among_what_explodes():
  features_MxF, values_M = _plant(0, 60)
  for name in ('logistic', 'svm', 'boosting'):
    decisions = _decide(name, features_MxF, values_M).tested[0]
    assert _score(decisions, values_M)['r2']['value'] > 0.3, name


def test_members_say_nothing_beyond_what_they_were_taught():
  unit = cross_validation.TargetScale(
      *np.array([[2.0, 5.0], [3.0, 1.0], [-1, -2], [1, 9]]))
  said = np.array([9.0, 9.5, 0.5, -4.0]).reshape(4, 1, 1)  # (member, fold)
  # Fold 0 ends at 1 * 3 + 2, fold 1 begins at -2 * 1 + 5.
  np.testing.assert_allclose(
      cross_validation.average(said, unit, 2, 1).ravel(),
      [((1 + 0.5) / 2) * 3 + 2, (9 - 2) / 2 + 5])
  logits = np.random.default_rng(0).normal(size=(4, 3, 2))
  np.testing.assert_allclose(
      cross_validation.average(
          logits, cross_validation.join_units(
              [cross_validation.TargetScale()] * 2), 2, 2),
      np.asarray(jax.nn.log_softmax(logits)).reshape(2, 2, 3, 2).mean(0))


def test_a_number_far_off_is_told_and_the_networks_named():
  values_M = np.linspace(0, 1, _COUNT)
  said_M = values_M.copy()
  said_M[[7, 31]] += (40, -9)
  decisions = cross_validation.Decisions(
      _ids_M, _ids_M % 5, values_M, said_M[:, None, None])
  figures = _score(decisions, values_M)
  text, = score.warn(figures, decisions, 100 + _ids_M)
  assert 'worst are 107, 131.' in text and '2 of 60 networks' in text
  assert f'{figures["r2"]["value"]:,.2f}' in text
  near = decisions._replace(outputs_TxSxO=values_M[:, None, None] * 0.5)
  assert not score.warn(_score(near, values_M), near, _ids_M)


@pytest.mark.filterwarnings('ignore:.*load_module')
def test_a_ladder_prints_its_warnings(call, monkeypatch, tmp_path):
  monkeypatch.setattr(table, 'CLASSIFIERS', {
      name: table.CLASSIFIERS[name] for name in ('majority', 'logistic')})
  monkeypatch.setattr(score, '_POOR', 2.0)  # so that every R² is poor
  code, out, err = call('--target=learning_rate', '--ladder')
  assert code == 0, err
  for name in ('majority', 'logistic'):
    assert f'WARNING: {name}: R² is' in out
  for path in (tmp_path / 'learning_rate').glob('*/result.json'):
    record = json.loads(path.read_text())
    assert f'{record["classifier"]}: {record["warnings"][0]}' in out

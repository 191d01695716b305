"""Integrated gradients: exact where they can be, complete on real networks."""

import jax.numpy as jnp
import numpy as np
import pytest

from nws_jax.meta import request as requests
from nws_jax.meta import running
from nws_jax.meta.answers import answer, score
from nws_jax.meta.explain import attribution, integrated_gradients
from tests.meta import real


@pytest.mark.parametrize('steps', [1, 7])
def test_of_a_quadratic_form_they_are_known(steps):
  rng = np.random.default_rng(0)
  form = rng.normal(size=(4, 4))
  start, end = rng.normal(size=(2, 4))
  given, before, after = integrated_gradients.integrate(
      lambda x: x @ jnp.asarray(form) @ x, jnp.asarray(start), jnp.asarray(end),
      steps)
  # The gradient is linear along the line: its mean is that of the middle.
  middle = (start + end) / 2
  np.testing.assert_allclose(
      given, (end - start) * ((form + form.T) @ middle), rtol=1e-4, atol=1e-5)
  assert float(after - before) == pytest.approx(float(given.sum()), rel=1e-4)


@pytest.fixture(scope='module')
def explained():
  """{(target, classifier): (request, decisions, Attribution)}, made once."""
  from configs import meta as presets
  from nws_jax.meta import settings
  found = {}

  def make(target, classifier, **changed):
    key = (target, classifier, *changed.items())
    if key not in found:
      request = requests.make(real.RealZoo(), target, settings.from_config({
          **presets.get_config('smoke'), 'steps': 60,
          'members': 2, 'controls': 'none', 'classifier': classifier,
          **changed}))
      source = running.load(request)
      _, _, outcome = answer.run(request, source, lambda *at: None)
      found[key] = request, outcome.tested[0], attribution.run(
          outcome.models, running.make_place(request, source),
          request.target.label(request.sides), request.sides,
          most=None if classifier == 'fast' else 8)
    return found[key]
  return make


CASES = [('optimizer', 'fast'), ('learning_rate', 'fast'), pytest.param(
    ('optimizer', 'transformer'), marks=pytest.mark.soak)]


@pytest.mark.parametrize('case', CASES)
def test_all_parts_together_are_the_way_from_the_baseline(explained, case):
  _, _, found = explained(*case)
  way_N = found.after_N - found.before_N
  assert np.std(way_N) > 0.05
  # A transformer holds its facts at five deviations: the line has corners.
  np.testing.assert_allclose(
      found.tensors_NxT.sum(1), way_N,
      atol=(0.01 if case[1] == 'fast' else 0.05) * np.abs(way_N).max())
  np.testing.assert_allclose(
      found.bins_NxB.sum(1), found.tensors_NxT.sum(1), atol=1e-6)


@pytest.mark.parametrize('case', CASES)
def test_the_evidence_is_that_of_the_decisions(explained, case):
  request, said, found = explained(*case)
  assert case[1] != 'fast' or len(found.rows_N) == len(said.rows_T)
  at_N = np.searchsorted(said.rows_T, found.rows_N)
  np.testing.assert_array_equal(found.folds_N, said.folds_T[at_N])
  pooled_TxO = score.pool(said)
  if request.target.classes:
    wanted_T = pooled_TxO[np.arange(len(said.true_T)), said.true_T]
  else:
    train = [request.target.values_M[rows[:n]] for rows, n in zip(
        request.sides.train_FxN, request.sides.trains_F)]
    scale_T = np.array([x.std() for x in train])[said.folds_T]
    wanted_T = -((pooled_TxO[:, 0] - said.true_T) / scale_T)**2
  np.testing.assert_allclose(found.after_N, wanted_T[at_N], atol=1e-3)


def test_the_layer_that_was_planted_tells(explained):
  request, _, found = explained('optimizer', 'fast')
  parts = request.parts
  mean_T = found.tensors_NxT.mean(0)
  hidden = sum(x for x, (layer, _) in zip(mean_T, parts) if layer == 'fc1')
  assert hidden > 0.8 * mean_T.sum() > 0


def test_windows_and_their_stretches_are_complete_too(explained):
  _, _, found = explained(
      'optimizer', 'fast', window=64, windows_per_network=3, windows_drawn=3)
  way_N = found.after_N - found.before_N
  np.testing.assert_allclose(
      found.tensors_NxT.sum(1), way_N, atol=0.01 * np.abs(way_N).max())

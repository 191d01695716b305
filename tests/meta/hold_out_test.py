import numpy as np
import pytest

from nws_jax import errors
from nws_jax.meta import request as requests
from nws_jax.meta import running
from nws_jax.meta.answers import ablation, answer
from nws_jax.meta.data import hold_out, splits, targets


def _zoo(plant, **changed):
  """A planted zoo on two data sets and of three activations."""
  zoo = plant(**changed)
  zoo.members['dataset'] = np.where(zoo.members['id'] % 3 == 0, 'mnist',
                                    'digits')
  zoo.members['activation'] = np.array(['relu', 'elu', 'tanh'])[
      zoo.members['id'] // 2 % 3]
  return zoo


def test_no_held_out_network_is_learned_from(plant):
  members = _zoo(plant).members
  target = targets.choose(members, 'optimizer')
  sides = hold_out.split(members, 'dataset=mnist', 'mnist', target)
  train, valid, test = (set(rows[0, :n[0]]) for rows, n in (
      sides[:2], sides[2:4], sides[4:]))
  assert test == set(np.flatnonzero(members['dataset'] == 'mnist'))
  assert train | valid | test == set(range(60))
  assert not (train & valid or train & test or valid & test)


def test_a_row_a_snapshot_is_validated_on_as_a_row_a_network(plant):
  members = _zoo(plant).members
  rows = members.loc[members.index.repeat(20)].reset_index(drop=True)
  assert len(rows) >= splits.LARGE > len(members)
  alone, each = (hold_out.split(
      some, 'dataset=mnist', 'mnist', targets.choose(some, 'optimizer'), 60)
                 for some in (members, rows))
  for of_network, of_rows in zip(alone[::2], each[::2]):
    assert set(rows['id'][of_rows[0]]) == set(members['id'][of_network[0]])


@pytest.mark.parametrize('text, words', [
    ('dataset=cifar10', 'dataset is mnist, digits|dataset is digits, mnist'),
    ('colour', 'allowed: .*dataset'), ('optimizer', 'not the target'),
    ('test_accuracy', '60 values')])
def test_what_cannot_be_held_out_is_refused(plant, settle, text, words):
  with pytest.raises(errors.Wrong, match=words):
    hold_out.list_levels(_zoo(plant).members, text, 'optimizer')


def test_a_class_that_only_the_held_out_have_is_refused(plant, settle):
  zoo = _zoo(plant)
  zoo.members.loc[zoo.members['optimizer'] == 'adam', 'dataset'] = 'mnist'
  with pytest.raises(errors.Wrong, match='0 networks of optimizer adam'):
    requests.make(zoo, 'optimizer', settle(hold_out='dataset=mnist'))


def test_what_is_planted_everywhere_transfers(plant, settle):
  zoo = _zoo(plant, effect=2.0)
  request = requests.make(zoo, 'optimizer', settle(hold_out='dataset=mnist'))
  record, text, _ = answer.run(
      request, running.load(request), lambda *at: None)
  assert record['per_network']['networks'] == 20 and len(
      text.splitlines()) == 21
  assert record['per_network']['accuracy'] > 0.9


def test_every_level_in_turn_is_a_table(plant, settle):
  zoo = _zoo(plant, effect=2.0)
  relu = (zoo.members['activation'] == 'relu').to_numpy()
  # There another layer is shifted.
  zoo.weights_MxExP[relu] = plant(
      effect=2.0, layer='output').weights_MxExP[relu]
  request = requests.make(
      zoo, 'optimizer', settle(hold_out='activation'), ('hold_out',))
  cells = ablation.run(request, running.load(request), lambda *at: None)
  values = {c['hold_out']: c['value'] for c in cells}
  assert list(values) == ['elu', 'relu', 'tanh'] and values['relu'] < 0.5
  assert sum(c['networks'] for c in cells) == 60
  # Where some of the level are learned from, it is read better than that.
  relu, = (c for c in cells if c['hold_out'] == 'relu')
  assert relu['seen_value'] > relu['value'] and relu['seen_p'] < 0.05

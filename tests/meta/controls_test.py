import numpy as np
import pytest

from nws_jax.meta import request as requests
from nws_jax.meta import running, summary
from nws_jax.meta.answers import answer, controls
from nws_jax.meta.data import reading
from tests.meta import planted


def _answer(zoo, settings, name='optimizer'):
  request = requests.make(zoo, name, settings)
  return answer.run(request, running.load(request), lambda *at: None).record


def test_controls_stand_beside_the_number(plant, settle):
  zoo = plant(effect=2.0, layers=planted.NORMED)
  record = _answer(zoo, settle(controls='default'))
  found = record['controls']
  assert set(found) == {'majority', 'epoch_0', 'no_statistics', 'weight_norm',
                        'accuracy_matched', 'updates_matched'}
  assert set(record['controls_left_out']) == {'num_weights'}
  low, high = found['epoch_0']['interval']
  assert low < 1 / 3 < high and found['epoch_0']['difference_p'] < 0.01
  assert found['no_statistics']['accuracy'] > 0.9
  matched = found['accuracy_matched']
  assert matched['explained_after'] < matched['explained_before']
  assert matched['chance'] == pytest.approx(1 / 3) and matched['networks'] < 60
  assert found['updates_matched']['updates_off'] == 0
  assert not record['warnings']
  assert 'epoch_0' in summary.format_result(record)


def test_what_is_there_before_training_explains_the_score(plant, settle):
  record = _answer(plant(effect=2.0, since=0), settle(controls='epoch_0'))
  assert any('epoch_0 explains' in w for w in record['warnings'])


def test_what_the_statistics_carry_is_gone_without_them(plant, settle):
  zoo = plant(effect=3.0, layers=planted.NORMED, layer='mean')
  record = _answer(zoo, settle(controls='no_statistics', steps=400))
  assert record['per_network']['accuracy'] > 0.8
  assert record['warnings'] and 'no_statistics' in record['warnings'][0]


def test_a_norm_that_tells_the_class_explains_it(plant, settle):
  zoo = plant(effect=0.0)
  zoo.weights_MxExP *= np.exp(zoo.labels_M)[:, None, None]
  record = _answer(zoo, settle(controls='weight_norm'))
  assert record['controls']['weight_norm']['accuracy'] > 0.9
  assert 'weight_norm explains' in record['warnings'][0]


def test_accuracy_that_tells_the_class_is_matched_away(plant, settle):
  # Weights tell how well a network did, and that tells its optimizer.
  zoo = plant(networks=150, effect=0.0)
  rng = np.random.default_rng(0)
  skill_M = zoo.labels_M + rng.normal(size=150)
  zoo.members['test_accuracy'] = 1 / (1 + np.exp(-skill_M))
  zoo.weights_MxExP += skill_M[:, None, None]
  record = _answer(zoo, settle(controls='accuracy_matched'))
  assert record['per_network']['interval'][0] > record['chance']
  matched = record['controls']['accuracy_matched']
  assert matched['explained_before'] > 0.3 > 0.05 > matched['explained_after']
  assert matched['interval'][0] <= matched['chance']
  assert 'accuracy_matched explains' in record['warnings'][0]


def test_equal_updates_are_as_near_as_can_be(plant, settle):
  zoo = plant()  # odd networks make twice the updates: 20, 40 against 10, 20
  request = requests.make(zoo, 'optimizer', settle(controls='updates_matched'))
  _, control = controls.prepare(request, running.load(request))[0]
  weights = np.asarray(control.place.source.weights_MxExP)
  epoch_M = np.where(np.arange(60) % 2, 1, 2)
  np.testing.assert_array_equal(
      weights[:, 0], zoo.weights_MxExP[np.arange(60), epoch_M])
  assert control.about == {'updates': 20, 'updates_off': 0.0}


def test_a_zoo_without_some_tensors_is_a_zoo(plant):
  zoo = plant(layers=planted.NORMED)
  left = reading.Without(zoo, 'mean,variance')
  kept = np.r_[0:48, 64:176]
  np.testing.assert_array_equal(
      left.vectors([5, 3], [2]), zoo.weights_MxExP[[5, 3]][:, [2]][..., kept])
  assert set(left.members['num_weights']) == {160}
  assert left.layers['stop'].tolist() == [40, 48, 108, 120, 150, 160]


def test_nothing_and_all_can_be_asked_for(plant, settle):
  record = _answer(plant(effect=2.0), settle(controls='none'))
  assert set(record['controls']) == {'majority'}
  assert controls.count_trials(settle(
      controls='all', permutations=19)) == 25
  assert controls.count_trials(settle(controls='default')) == 6
  assert controls.count_trials(settle(controls='none', permutations=5)) == 0

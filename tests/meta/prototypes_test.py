import numpy as np
import pandas as pd
import pytest

from nws_jax.meta.data import layouts, targets
from nws_jax.meta.explain import prototypes
from nws_jax.meta.figures import intervals
from tests.meta import real


def _find(weights_MxP, label_M):
  zoo = real.RealZoo(1)
  tensors = layouts.read(zoo.layers, [real.ARCH.name])
  return pd.DataFrame(prototypes.find(
      weights_MxP, np.zeros(len(weights_MxP), int), tensors,
      prototypes.Groups(('a', 'b'), label_M), np.arange(len(weights_MxP)),
      50)), tensors[0]


def test_neurons_in_another_order_have_the_same_prototype():
  zoo, rng = real.RealZoo(20), np.random.default_rng(0)
  label_M = np.arange(20) % 2
  rows, tensors = _find(zoo.weights_MxP, label_M)
  shuffled_MxP = zoo.weights_MxP.copy()
  for t in tensors:
    shuffled_MxP[:, t.start:t.stop] = rng.permuted(
        shuffled_MxP[:, t.start:t.stop], axis=1)
  again, _ = _find(shuffled_MxP, label_M)
  pd.testing.assert_frame_equal(rows, again)
  kernel = tensors[0]
  value = rows[(rows['class'] == 'b') & (rows['layer'] == kernel.layer)
               & (rows['tensor'] == 'kernel') & (rows['level'] == 0.5)]
  assert value['value'].item() == pytest.approx(np.median(np.median(
      zoo.weights_MxP[1::2, kernel.start:kernel.stop], axis=1)))
  assert (rows['low'] <= rows['value']).all()
  assert (rows['value'] <= rows['high']).all()


def test_the_typical_network_is_predicted_most_certainly():
  predictions = pd.DataFrame({'id': [5, 6, 7, 8], 'p_a': [.9, .95, .2, .1],
                              'p_b': [.1, .05, .8, .9]})
  # Network 6 is of class b: that it is taken for a does not make it typical.
  found = prototypes.choose_typical(
      predictions, prototypes.Groups(('a', 'b'), np.array([0, 1, 1, 1])),
      np.arange(4))
  assert found == {'a': (0, .9), 'b': (3, .9)}
  predictions = pd.DataFrame(
      {'true': [1., 2, 3], 'predicted': [1.5, 2.1, 3.]})
  found = prototypes.choose_typical(
      predictions, prototypes.Groups(('low', 'high'), np.array([0, 0, 1])),
      np.arange(3))
  assert {k: m for k, (m, _) in found.items()} == {'low': 1, 'high': 2}


def test_numbers_are_grouped_in_thirds():
  target = targets.Target('learning_rate', (), np.arange(9.)[::-1])
  names, group_M = prototypes.group(target)
  assert len(names) == 3 and group_M.tolist() == [2] * 3 + [1] * 3 + [0] * 3


def test_filters_are_those_of_the_vector():
  zoo = real.RealZoo(1)
  tensors, = layouts.read(zoo.layers, [real.ARCH.name])
  layer, filters_OxIxHxW = prototypes.read_filters(zoo.weights_MxP[0], tensors)
  assert layer == 'conv1_1'
  rows = prototypes.list_filters(filters_OxIxHxW, {'id': 0})
  np.testing.assert_array_equal(
      [r['weight'] for r in rows], zoo.weights_MxP[0, :len(rows)])


def test_intervals_of_columns_are_those_of_each():
  rng = np.random.default_rng(1)
  values_MxC, settings_M = rng.normal(size=(30, 3)), np.arange(30) // 2
  low_C, high_C = intervals.bootstrap_columns(
      np.mean, values_MxC, settings_M, repetitions=80, seed=4)
  for c in range(3):
    assert intervals.bootstrap(
        lambda rows, c=c: values_MxC[rows, c].mean(), settings_M,
        repetitions=80, seed=4) == pytest.approx((low_C[c], high_C[c]))

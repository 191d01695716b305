"""A planted zoo: random weights, one property shifts one layer from one epoch.

It has what `nws_jax.api.Zoo` has, so that the command's parts run on it.
"""

import numpy as np
import pandas as pd
import pytest

from nws_jax import space

LAYERS = (('conv1_1', (('kernel', 40), ('bias', 8))),
          ('fc1', (('kernel', 60), ('bias', 12))),
          ('output', (('kernel', 30), ('bias', 10))))
CLASSES = ('adam', 'rmsprop', 'momentum')


class PlantedZoo:
  """Weights are normal; `planted` layer's are shifted by class from `since`."""

  path, digest = 'planted', '0' * 64

  def __init__(self, networks=60, epochs=3, layer='fc1', since=1, effect=1.0,
               seed=0):
    rng = np.random.default_rng([seed, 7])
    rows, start = [], 0
    for name, tensors in LAYERS:
      for tensor, size in tensors:
        rows.append(dict(architecture='a', layer=name, tensor=tensor,
                         start=start, stop=start + size, shape=str(size)))
        start += size
    self.layers = pd.DataFrame(rows)
    label_M = rng.permutation(np.arange(networks) % len(CLASSES))
    self.weights_MxExP = rng.normal(
        size=(networks, epochs, start)).astype(np.float32)
    at = self.layers[self.layers.layer == layer]
    self.weights_MxExP[:, since:, at.start.min():at.stop.max()] += (
        effect * (label_M - 1))[:, None, None]
    sides = [space.side(seed, i) for i in range(networks)]
    self.members = pd.DataFrame({
        'id': np.arange(networks), 'setting': np.arange(networks),
        'split': [s for s, _ in sides], 'fold': [f for _, f in sides],
        'status': 'finished', 'architecture': 'a', 'num_weights': start,
        'optimizer': [CLASSES[i] for i in label_M],
        'dataset': 'digits', 'batch_size': 32, 'batch_norm': True,
        'augmentation': rng.integers(0, 2, networks).astype(bool),
        'learning_rate': np.exp(label_M - 6 + rng.uniform(-0.3, 0.3, networks)),
        'activation': 'relu', 'initialization': 'normal', 'filter_size': 3,
        'depth_conv': 3, 'depth_fc': 2, 'width_conv': 4, 'width_fc': 64,
        'weight_decay': 0.0, 'dropout': 0.5,
        'test_accuracy': rng.uniform(0.1, 0.9, networks)})

  def epochs(self, id):
    return tuple(range(self.weights_MxExP.shape[1]))

  def vectors(self, ids, epochs, start=0, stop=None):
    return self.weights_MxExP[list(ids)][:, list(epochs), start:stop]


@pytest.fixture
def plant():
  """Makes a planted zoo."""
  return PlantedZoo


@pytest.fixture
def settle():
  """Makes `Settings` of the smoke preset with some keys changed."""
  from configs import meta as presets
  from nws_jax.meta import settings

  def make(**changed):
    return settings.from_config({
        **presets.get_config('smoke'), 'permutations': 0, 'round_steps': 20,
        'steps': 200, **changed})
  return make


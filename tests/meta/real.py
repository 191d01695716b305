"""A small zoo of a real architecture; one property shifts its hidden layer."""

import numpy as np
import pandas as pd

from nws_jax import published, space
from nws_jax.store import snapshots

ARCH = published.Architecture(1, 3, 1, 1, 8, True)
SPANS = published.layout(ARCH).spans
CLASSES = ('adam', 'rmsprop', 'momentum')


class RealZoo:
  """What `nws_jax.api.Zoo` has that meta needs: 60 networks, one snapshot."""

  path, digest, extent = 'real', '1' * 64, None
  properties = published.ALL

  def __init__(self, networks=60, effect=1.0):
    rng = np.random.default_rng(3)
    label_M = rng.permutation(np.arange(networks) % 3)
    self.weights_MxP = rng.normal(
        size=(networks, published.layout(ARCH).num_weights)).astype(np.float32)
    for n, s in enumerate(SPANS):  # tensors differ in size, as real ones do
      self.weights_MxP[:, s.start:s.stop] *= 4.0 ** (n % 5)
      if s.layer == 'fc1':
        self.weights_MxP[:, s.start:s.stop] += (
            effect * 4.0 ** (n % 5) * (label_M - 1)[:, None])
    self.layers = pd.DataFrame([dict(
        architecture=ARCH.name, layer=s.layer, tensor=s.tensor, start=s.start,
        stop=s.stop, shape='x'.join(map(str, s.shape)), part=s.part)
        for s in SPANS])
    sides = [space.side(0, i) for i in range(networks)]
    self.members = pd.DataFrame({
        'id': np.arange(networks), 'setting': np.arange(networks),
        'split': [s for s, _ in sides], 'fold': [f for _, f in sides],
        'status': 'finished', 'architecture': ARCH.name,
        'num_weights': published.layout(ARCH).num_weights,
        'optimizer': [CLASSES[i] for i in label_M], 'dataset': 'digits',
        'batch_size': 32, 'augmentation': False, 'activation': 'relu',
        'initialization': 'normal', 'batch_norm': True, 'filter_size': 1,
        'depth_conv': 3, 'depth_fc': 1, 'width_conv': 1, 'width_fc': 8,
        'learning_rate': np.exp(label_M - 6 + rng.uniform(-.3, .3, networks)),
        'test_accuracy': rng.uniform(0.1, 0.9, networks)})
    self.members['train_accuracy'] = self.members['test_accuracy']
    self.metrics = pd.DataFrame(
        {'id': self.members['id'], 'epoch': 0, 'step': 10, 'snapshot': 1})

  def epochs(self, id):
    return (0,)

  def digests(self, id):
    return {0: snapshots.digest(self.weights_MxP[id])}

  def vector(self, id, epoch):
    return self.weights_MxP[id]

  def vectors(self, ids, epochs, start=0, stop=None):
    return self.weights_MxP[list(ids)][:, None, start:stop]

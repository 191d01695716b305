"""A planted zoo: random weights, one property shifts one layer from one epoch.

It has what `nws_jax.api.Zoo` has, so that the command's parts run on it, and
what no other zoo has: the accuracy of the best possible reader is known.
"""

import numpy as np
import pandas as pd
from scipy import stats

from nws_jax import published, space
from nws_jax.store import snapshots

LAYERS = (('conv1_1', (('kernel', 40), ('bias', 8))),
          ('fc1', (('kernel', 60), ('bias', 12))),
          ('output', (('kernel', 30), ('bias', 10))))
NORMED = (('conv1_1', (('kernel', 40), ('bias', 8), ('mean', 8),
                       ('variance', 8))), *LAYERS[1:])
SHAPED = (('conv1_1', (('kernel', (5, 1, 1, 8)), ('bias', (8,)))),
          ('fc1', (('kernel', (8, 12)), ('bias', (12,)))),
          ('output', (('kernel', (12, 10)), ('bias', (10,)))))
CLASSES = ('adam', 'rmsprop', 'momentum')


class PlantedZoo:
  """Weights are normal; `layer`'s are shifted by class from `since` on.

  Args:
    networks: how many; the classes are as even as can be.
    epochs: snapshots of each.
    layer: which is shifted; or a tensor, of all layers.
    since: the first epoch that is.
    effect: of one class against the next, in standard deviations of a weight.
    seed: of all draws.
    replicates: networks of each setting, which share a class.
    layers: of the vectors; of each tensor its size or its shape.
    alike: share of the variance of a weight that replicates have in common.
  """

  path, digest, extent = 'planted', '0' * 64, None
  properties = published.ALL

  def __init__(self, networks=60, epochs=3, layer='fc1', since=1, effect=1.0,
               seed=0, replicates=1, layers=LAYERS, alike=0.0):
    rng = np.random.default_rng([seed, 7])
    rows, start = [], 0
    for name, tensors in layers:
      for tensor, shape in tensors:
        size = int(np.prod(shape))
        rows.append(dict(architecture='a', layer=name, tensor=tensor,
                         start=start, stop=start + size, shape='x'.join(
                             map(str, np.atleast_1d(shape))),
                         part='convolution' if name.startswith('conv')
                         else 'fully connected'))
        start += size
    self.layers = pd.DataFrame(rows)
    setting_M = np.arange(networks) // replicates
    settings, first_M = setting_M.max() + 1, setting_M * replicates
    label_M = rng.permutation(np.arange(settings) % len(CLASSES))[setting_M]
    self.weights_MxExP = rng.normal(
        size=(networks, epochs, start)).astype(np.float32)
    if alike:
      shared = rng.normal(size=(settings, 1, start)).astype(np.float32)
      self.weights_MxExP = (np.sqrt(1 - alike) * self.weights_MxExP
                            + np.sqrt(alike) * shared[setting_M])
    for at in self._find(layer):
      self.weights_MxExP[:, since:, at.start:at.stop] += (
          effect * (label_M - 1))[:, None, None]
    self._effect, self._planted = effect, layer
    sides = [space.side(seed, i) for i in setting_M]
    self.members = pd.DataFrame({
        'id': np.arange(networks), 'setting': setting_M,
        'split': [s for s, _ in sides], 'fold': [f for _, f in sides],
        'status': 'finished', 'architecture': 'a', 'num_weights': start,
        'optimizer': [CLASSES[i] for i in label_M],
        'dataset': 'digits', 'batch_size': 32, 'batch_norm': True,
        'augmentation': rng.integers(0, 2, networks).astype(bool)[first_M],
        'learning_rate': np.exp(label_M - 6 + rng.uniform(
            -0.3, 0.3, networks)[first_M]),
        'activation': 'relu', 'initialization': 'normal', 'filter_size': 3,
        'depth_conv': 3, 'depth_fc': 2, 'width_conv': 4, 'width_fc': 64,
        'weight_decay': 0.0, 'dropout': 0.5,
        'test_accuracy': rng.uniform(0.1, 0.9, networks)})
    self.members['train_accuracy'] = self.members['test_accuracy'] + (
        rng.uniform(0, 0.1, networks))
    self.metrics = pd.DataFrame([
        dict(id=i, epoch=e, snapshot=e, step=10 * e * (1 + i % 2))
        for i in range(networks) for e in range(epochs)])

  @property
  def labels_M(self):
    return np.array([CLASSES.index(o) for o in self.members['optimizer']])

  def bayes(self):
    """The accuracy of who knows all but the class.

    The mean of the n shifted values tells all there is: three normals of
    deviation 1 / sqrt(n), their means an effect apart. The outer two are taken
    for their neighbour on one side, the middle one on both.
    """
    n = sum(at.stop - at.start for at in self._find(self._planted))
    right = stats.norm.cdf(self._effect * np.sqrt(n) / 2)
    return (4 * right - 1) / 3

  def epochs(self, id):
    return tuple(range(self.weights_MxExP.shape[1]))

  def digests(self, id):
    return dict(enumerate(map(snapshots.digest, self.weights_MxExP[id])))

  def vectors(self, ids, epochs, start=0, stop=None):
    return self.weights_MxExP[list(ids)][:, list(epochs), start:stop]

  def _find(self, name):
    """The rows of `layers` that a layer's or a tensor's name means."""
    found = [at for at in self.layers.itertuples()
             if name in (at.layer, at.tensor)]
    assert found, name
    return found

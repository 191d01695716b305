"""Nothing but the initialization is written into weights before training."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from configs import meta as meta_presets
from configs import zoo as presets
from nws_jax import published, space
from nws_jax.meta import request as requests
from nws_jax.meta import running, settings
from nws_jax.meta.answers import answer
from nws_jax.zoo import draws, initializers, recipe
from nws_jax.zoo.families.cnn import network as cnn

TARGETS, SEEDS = ('optimizer', 'batch_size', 'dataset'), 20


class UntrainedZoo:
  """The default population of some seed, as initialised."""

  path, extent = 'untrained', None

  def __init__(self, seed):
    config = presets.get_config()
    config.seed, self.digest = seed, f'{seed:064d}'
    rows = recipe.rows(recipe.from_config(config))
    self.arch = published.architecture(rows[0])
    start = jax.jit(jax.vmap(lambda id, initialization: cnn.init(
        jax.random.fold_in(draws.stream(
            jax.random.key(seed), _Id(id), draws.INIT), 0),
        initialization, self.arch)))
    names = list(initializers.INITIALIZERS)
    self.weights_MxP = np.asarray(start(jnp.arange(len(rows)), jnp.array([
        names.index(row['initialization']) for row in rows])))
    sides = [space.side(seed, row['setting']) for row in rows]
    self.members = pd.DataFrame(rows).assign(
        split=[s for s, _ in sides], fold=[f for _, f in sides],
        status='finished', architecture=self.arch.name,
        num_weights=published.layout(self.arch).num_weights, test_accuracy=0.1)
    self.metrics = pd.DataFrame(
        {'id': self.members['id'], 'epoch': 0, 'step': 0, 'snapshot': 1})
    self.layers = pd.DataFrame([dict(
        architecture=self.arch.name, layer=s.layer, tensor=s.tensor,
        start=s.start, stop=s.stop, shape='x'.join(map(str, s.shape)),
        part=s.part)
        for s in published.layout(self.arch).spans])

  def epochs(self, id):
    return (0,)

  def vectors(self, ids, epochs, start=0, stop=None):
    return self.weights_MxP[list(ids)][:, None, start:stop]


class _Id:
  def __init__(self, id):
    self.id = id


def read(zoo, target):
  asked = settings.from_config({
      **meta_presets.get_config(), 'controls': 'none', 'members': 2})
  request = requests.make(zoo, target, asked)
  return answer.run(request, running.load(request), lambda *at: None)[0]


@pytest.mark.soak
def test_nothing_is_read_before_training_but_the_initialization():
  off = []
  for seed in range(SEEDS):
    zoo = UntrainedZoo(seed)
    assert len(np.unique(zoo.weights_MxP[:, :9], axis=0)) > 100
    for target in TARGETS:
      record = read(zoo, target)
      low, high = record['per_network']['interval']
      if not low <= record['chance'] <= high:
        off.append((seed, target, record['per_network']))
  print(f'{len(off)} of {SEEDS * len(TARGETS)} intervals exclude chance: {off}')
  assert len(off) <= 7
  assert read(UntrainedZoo(0), 'initialization')[
      'per_network']['accuracy'] > 0.9

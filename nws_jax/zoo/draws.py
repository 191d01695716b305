"""Every draw of ONE network while it trains, keyed by what it is for.

Network = fold_in(root, id), then a stream, then the epoch or step. No width,
slot, order or restart changes one.
"""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from nws_jax import space
from nws_jax.zoo import dataset, images

if TYPE_CHECKING:
  from nws_jax.zoo import train

INIT, SPLIT, EPOCH, AUGMENT, DROPOUT, EVALUATE = range(6)  # streams
_NOBODY = 255  # label of what pads a set


def stream(seed_key: jax.Array, network: 'train.Network', number: int
           ) -> jax.Array:
  """The key of one stream of a network."""
  return jax.random.fold_in(jax.random.fold_in(seed_key, network.id), number)


def split(seed_key: jax.Array, network: 'train.Network', data: dataset.Data,
          longest: int) -> tuple[jax.Array, jax.Array]:
  """This network's own cut: (its images sorted by class [N], is_train [N])."""
  u = jax.random.bits(stream(seed_key, network, SPLIT), (longest,))
  own = jnp.arange(longest) < data.count_S[network.dataset]
  index = jnp.where(own, data.start_S[network.dataset] + jnp.arange(longest), 0)
  labels = jnp.where(own, data.labels_N[index], _NOBODY)
  labels, _, index = jax.lax.sort((labels, u, index), num_keys=2)
  rank, counts = _rank(labels)
  cut = images.cut(counts)[jnp.minimum(labels, space.NUM_CLASSES - 1)]
  is_train = (rank < cut) | (labels == _NOBODY)  # padding is not validation
  return index, is_train


def epoch_order(seed_key: jax.Array, network: 'train.Network',
                data: dataset.Data, epoch: jax.Array, longest: int
                ) -> jax.Array:
  """Indices of the epoch's images in order: a new balanced draw, shuffled."""
  index, is_train = split(seed_key, network, data, longest)
  key = jax.random.fold_in(stream(seed_key, network, EPOCH), epoch)
  u, v = jax.random.bits(key, (longest, 2)).T
  own = data.labels_N[index]
  n = jnp.arange(longest)
  labels = jnp.where(
      is_train & (n < data.count_S[network.dataset]), own, _NOBODY)
  labels, _, index, v = jax.lax.sort((labels, u, index, v), num_keys=2)
  rank, _ = _rank(labels)
  chosen = (rank < data.a_class_S[network.dataset]) & (labels != _NOBODY)
  return jax.lax.sort((~chosen, v, index), num_keys=2)[2]


def _rank(labels_N: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Position within its class, of labels in order; and the class counts."""
  classes = jnp.arange(space.NUM_CLASSES)
  starts = jnp.searchsorted(labels_N, classes)
  ends = jnp.searchsorted(labels_N, classes, side='right')
  start = starts[jnp.minimum(labels_N, space.NUM_CLASSES - 1)]
  return jnp.arange(labels_N.shape[0]) - start, ends - starts

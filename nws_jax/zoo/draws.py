"""The random draws of one network while it trains.

The key of a draw is made by `fold_in` of the network's id, the number of a
stream, and the epoch or step, in this order. So the draws of a network do not
depend on the other networks, on its slot, or on interruptions of the run.
"""

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

from nws_jax import space
from nws_jax.zoo import images

if TYPE_CHECKING:
  from nws_jax.zoo import train

INIT, SPLIT, EPOCH, AUGMENT, DROPOUT, EVALUATE = range(6)  # streams
_NOBODY = 255  # the label of padding


class Split(NamedTuple):
  """A network's own split of its images into training and validation."""
  index_N: jax.Array  # positions of the images, sorted by class
  is_train_N: jax.Array  # bool; padding counts as training


def stream(seed_key: jax.Array, network: 'train.Network', number: int
           ) -> jax.Array:
  """The key of one stream of a network."""
  return jax.random.fold_in(jax.random.fold_in(seed_key, network.id), number)


def split(task: 'train.Task') -> Split:
  """Draws a network's own split into training and validation images.

  N is the number of images of the largest set.
  """
  network, data, longest = task.network, task.data, task.longest
  u = jax.random.bits(stream(task.seed_key, network, SPLIT), (longest,))
  own = jnp.arange(longest) < data.count_S[network.dataset]
  index = jnp.where(own, data.start_S[network.dataset] + jnp.arange(longest), 0)
  labels = jnp.where(own, data.labels_N[index], _NOBODY)
  labels, _, index = jax.lax.sort((labels, u, index), num_keys=2)
  rank, counts = _rank(labels)
  cut = images.cut(counts)[jnp.minimum(labels, space.NUM_CLASSES - 1)]
  is_train = (rank < cut) | (labels == _NOBODY)
  return Split(index, is_train)


def epoch_order(task: 'train.Task', epoch: jax.Array | int) -> jax.Array:
  """Draws the shuffled images of an epoch, equally many of every class.

  Returns:
    int32 [N], positions of images; those of the epoch come first. N is the
    number of images of the largest set.
  """
  network, data, longest = task.network, task.data, task.longest
  index, is_train = split(task)
  key = jax.random.fold_in(stream(task.seed_key, network, EPOCH), epoch)
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
  """(position of each image within its class [N], images of each class [K]).

  The labels are sorted.
  """
  classes = jnp.arange(space.NUM_CLASSES)
  starts = jnp.searchsorted(labels_N, classes)
  ends = jnp.searchsorted(labels_N, classes, side='right')
  start = starts[jnp.minimum(labels_N, space.NUM_CLASSES - 1)]
  return jnp.arange(labels_N.shape[0]) - start, ends - starts

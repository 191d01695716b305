"""Evaluates the networks of a zoo by Flax, without the trainer's programs."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nws_jax import space

if TYPE_CHECKING:
  import flax.linen as nn

  from nws_jax import api
  from nws_jax.zoo import images
  from nws_jax.zoo import recipe as recipes

# If the logit of the label differs from the best other logit by less than this
# fraction of the largest logit, rounding decides whether an image counts as
# right. In networks of the default zoo, two correct computations differed by up
# to 3e-4.
ROUNDING = 1e-3
_SPLIT = 1  # stream of a network's draws in zoo/train.py


class Evaluated(NamedTuple):
  """The images of an evaluation."""
  split: str  # valid or test
  images_NxHxWxC: np.ndarray
  labels_N: np.ndarray


def choose_images(
    recipe: 'recipes.Recipe', sets: 'Mapping[str, images.ImageSet]',
    member: Mapping[str, Any], full: bool) -> Iterator[Evaluated]:
  """Yields the images on which the trainer evaluated a network.

  The validation images are drawn again: every image gets a random integer, by
  which the images of each class are sorted; the first nine in ten are for
  training, and the others for validation.

  Args:
    recipe: of the zoo.
    sets: its image sets.
    member: the network's row of members.csv.
    full: whether all test images were used, and not a part, evenly spread.
  """
  import jax

  from nws_jax.zoo import images
  own = sets[member['dataset']]
  key = jax.random.fold_in(jax.random.fold_in(
      jax.random.key(recipe.seed), member['id']), _SPLIT)
  longest = max(max(len(s.train_labels), len(s.test_labels))
                for s in sets.values())
  words_N = np.asarray(jax.random.bits(key, (longest,)))
  order_N = np.lexsort((words_N[:len(own.train_labels)], own.train_labels))
  parts = []
  for label in range(space.NUM_CLASSES):
    mine = order_N[own.train_labels[order_N] == label]
    parts.append(mine[images.cut(len(mine)):])
  valid = np.concatenate(parts)
  yield Evaluated('valid', own.train_images[valid], own.train_labels[valid])
  count = len(own.test_labels)
  test = np.linspace(0, count - 1, min(recipe.test_part, count)).astype(int)
  if full:
    test = np.concatenate([test, np.setdiff1d(np.arange(count), test)])
  yield Evaluated('test', own.test_images[test], own.test_labels[test])


class Right(NamedTuple):
  """How many images a network classifies correctly."""
  least: int  # if rounding decides against the label
  found: int  # as computed here
  most: int  # if rounding decides for the label


def count_right(zoo: 'api.Zoo', id: int, epoch: int,
                images_NxHxWxC: np.ndarray, labels_N: np.ndarray,
                batch_statistics: bool) -> Right:
  """Counts the images that a reloaded network classifies correctly.

  If the batch statistics normalise, all images of the last batch are as
  uncertain as those that rounding decides, because the trainer fills that batch
  up with other images. If a network diverged and its logits are not finite, an
  image is certain where Flax and `api.Zoo.apply` agree.

  Args:
    zoo: the zoo.
    id: the network.
    epoch: the epoch after which it is evaluated.
    images_NxHxWxC: uint8.
    labels_N: the labels of the images.
    batch_statistics: whether the statistics of the batch normalise, and not
      the running ones.
  """
  from nws_jax.zoo import train
  batch = train.EVAL_BATCH
  net = _compile(zoo.module(id), batch_statistics)
  variables = zoo.variables(id, epoch)
  least = count = most = 0
  for n in range(0, len(labels_N), batch):
    labels = labels_N[n:n + batch]
    at = np.arange(n, n + batch) % len(labels_N)
    logits_BxK = np.asarray(net(variables, images_NxHxWxC[at]))[:len(labels)]
    own = np.arange(logits_BxK.shape[1]) == labels[:, None]
    with np.errstate(invalid='ignore', over='ignore'):
      gap_B = logits_BxK[own] - np.where(own, -np.inf, logits_BxK).max(-1)
    slack_B = ROUNDING * np.abs(logits_BxK).max(-1)
    if batch_statistics and len(labels) < batch:
      slack_B[:] = np.inf
    # As in the trainer, NaN counts as the greatest logit.
    right_B = logits_BxK.argmax(-1) == labels
    least_B, most_B = gap_B > slack_B, gap_B >= -slack_B
    lost_B = ~np.isfinite(logits_BxK).all(-1)
    if lost_B.any():  # what overflows, and to what, depends on the form
      other_B = ~right_B if batch_statistics else zoo.apply(
          id, epoch, images_NxHxWxC[at]).argmax(-1)[:len(labels)] == labels
      least_B = np.where(lost_B, right_B & other_B, least_B)
      most_B = np.where(lost_B, right_B | other_B, most_B)
    least += int(least_B.sum())
    count += int(right_B.sum())
    most += int(most_B.sum())
  return Right(least, count, most)


@functools.lru_cache(maxsize=None)
def _compile(net: 'nn.Module', batch_statistics: bool
             ) -> Callable[[Any, np.ndarray], Any]:
  """Returns a function (variables, uint8 images [B, H, W, C]) -> logits [B, K].
  """
  import jax

  @jax.jit
  def logits(variables: Any, images: Any) -> Any:
    x = images.astype(np.float32) / 255
    if batch_statistics:
      return net.apply(variables, x, train=True, mutable=['batch_stats'])[0]
    return net.apply(variables, x)
  return logits

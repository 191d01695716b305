"""Training and evaluation of ONE network; `population` maps them over many.

Every draw is keyed by what it is for: network = fold_in(root, id), then a
stream, then the epoch or step. No width, slot, order or restart changes one.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax import space
from nws_jax.store import vectors
from nws_jax.zoo import augment, cnn, images, optim, stopping

_INIT, _SPLIT, _EPOCH, _AUGMENT, _DROPOUT = range(5)  # streams of a network
_NOBODY = 255  # label of what pads a set
EVAL_BATCH = 250  # images measured at once


class Static(NamedTuple):
  """What a program is compiled for."""
  arch: space.Architecture
  batch_size: int
  lr_decay: float  # factor an epoch
  eval_bn: str  # 'running' or 'batch'
  eval_batch: int  # images measured at once
  patience: int  # of early stopping; 0: never
  dtype: str


class Network(NamedTuple):
  """Settings of one network, scalars; one in a population has an axis M."""
  id: jnp.ndarray
  dataset: jnp.ndarray  # index into the program's image sets
  learning_rate: jnp.ndarray
  augmentation: jnp.ndarray
  optimizer: jnp.ndarray
  activation: jnp.ndarray
  initialization: jnp.ndarray
  active: jnp.ndarray  # False: an empty slot, which is never trained


class State(NamedTuple):
  """What training changes."""
  vector_P: jnp.ndarray
  slots: optim.Slots
  step: jnp.ndarray  # updates made
  diverged: jnp.ndarray  # epoch in which the network was frozen, or -1
  stopped: jnp.ndarray  # epoch after which it was stopped early, or -1
  watch: stopping.Watch


class Data(NamedTuple):
  """Image sets one after another, S of them; on the device."""
  images_NxHxWxC: jnp.ndarray
  labels_N: jnp.ndarray
  start_S: jnp.ndarray
  count_S: jnp.ndarray
  a_class_S: jnp.ndarray  # training images of each class in an epoch
  valid_S: jnp.ndarray  # validation images
  test_images_NxHxWxC: jnp.ndarray
  test_labels_N: jnp.ndarray
  test_start_S: jnp.ndarray
  test_part_S: jnp.ndarray  # images looked at after every epoch
  test_count_S: jnp.ndarray


class Metrics(NamedTuple):
  """Means over what was looked at; NaN where nothing was."""
  train_loss: jnp.ndarray
  train_accuracy: jnp.ndarray
  valid_loss: jnp.ndarray
  valid_accuracy: jnp.ndarray
  test_loss: jnp.ndarray
  test_accuracy: jnp.ndarray


def pack(sets, test_part):
  """Puts image sets (each an `images.ImageSet`) into one `Data` of NumPy.

  Test images are put in an order whose first `test_part` are spread evenly.
  """
  sets, valid, order = list(sets), [], []
  for s in sets:
    counts = np.bincount(s.train_labels, minlength=space.NUM_CLASSES)
    valid.append(int((counts - images.cut(counts)).sum()))
    n = len(s.test_labels)
    part = np.unique(np.linspace(0, n - 1, min(test_part, n)).astype(int))
    order.append(np.concatenate([part, np.setdiff1d(np.arange(n), part)]))
  count = np.asarray([len(s.train_labels) for s in sets], np.int32)
  test_count = np.asarray([len(s.test_labels) for s in sets], np.int32)
  return Data(
      images_NxHxWxC=np.concatenate([s.train_images for s in sets]),
      labels_N=np.concatenate([s.train_labels for s in sets]),
      start_S=np.cumsum(count, dtype=np.int32) - count,
      count_S=count,
      a_class_S=np.asarray(
          [images.an_epoch(s) // space.NUM_CLASSES for s in sets], np.int32),
      valid_S=np.asarray(valid, np.int32),
      test_images_NxHxWxC=np.concatenate(
          [s.test_images[o] for s, o in zip(sets, order)]),
      test_labels_N=np.concatenate(
          [s.test_labels[o] for s, o in zip(sets, order)]),
      test_start_S=np.cumsum(test_count, dtype=np.int32) - test_count,
      test_part_S=np.minimum(test_count, test_part),
      test_count_S=test_count)


def steps_an_epoch(a_class, batch_size):
  return a_class * space.NUM_CLASSES // batch_size


def make(static, longest):
  """(init, train, evaluate) of one network; see each.

  Args:
    static: `Static`.
    longest: images of the largest set; static, since it is an array's size.
  """
  arch, size = static.arch, static.batch_size
  running = vectors.running_mask(arch)

  def init(seed_key, network):
    """A network before its first update."""
    key = jax.random.fold_in(_key(seed_key, network, _INIT), 0)
    vector = cnn.init(key, network.initialization, arch).astype(static.dtype)
    return State(vector, optim.init(vector, network.optimizer),
                 jnp.int32(0), jnp.int32(-1), jnp.int32(-1), stopping.init())

  def train(seed_key, network, state, data, epoch):
    """One epoch: (state, mean loss, mean accuracy)."""
    order = _epoch_order(seed_key, network, data, epoch, longest)
    a_class = data.a_class_S[network.dataset]
    steps = jnp.where(is_running(network, state),
                      steps_an_epoch(a_class, size), 0)
    rate = (network.learning_rate * static.lr_decay ** (epoch - 1)).astype(
        static.dtype)

    def loss_fn(parts, x, labels, key):
      logits, batch = cnn.apply(
          parts, x, network.activation, arch, key, batch_statistics=True)
      loss = _cross_entropy(logits, labels).mean()
      return loss, (batch, (logits.argmax(-1) == labels).mean())

    def body(carry):
      i, state, loss_sum, correct = carry
      index = jax.lax.dynamic_slice(order, (i * size,), (size,))
      x = _prepare(seed_key, network, state.step, data.images_NxHxWxC[index],
                   static.dtype)
      key = jax.random.fold_in(_key(seed_key, network, _DROPOUT), state.step)
      parts = vectors.split(state.vector_P, arch)
      (loss, (batch, accuracy)), gradient = jax.value_and_grad(
          loss_fn, has_aux=True)(parts, x, data.labels_N[index], key)
      # Running statistics have no gradient: their places take new values.
      for name, new in cnn.update_running(parts, batch).items():
        gradient[name] |= new
      new_P = vectors.join(gradient, arch)
      delta, slots = optim.update(
          jnp.where(running, 0, new_P), state.slots, network.optimizer, rate,
          state.step)
      vector = jnp.where(running, new_P, state.vector_P + delta)
      new = state._replace(vector_P=vector, slots=slots, step=state.step + 1)
      good = jnp.isfinite(loss) & jnp.isfinite(vector).all()
      # A network that leaves the finite numbers stays where it last was.
      frozen = state._replace(diverged=jnp.int32(epoch))
      state = jax.tree.map(lambda a, b: jnp.where(good, a, b), new, frozen)
      return (i + good, state, loss_sum + jnp.where(good, loss, 0),
              correct + jnp.where(good, accuracy, 0))

    zero = jnp.zeros((), static.dtype)
    done, state, loss_sum, correct = jax.lax.while_loop(
        lambda c: (c[0] < steps) & (c[1].diverged < 0), body,
        (jnp.int32(0), state, zero, zero))
    return state, loss_sum / done, correct / done

  def evaluate(seed_key, network, state, data, full):
    """(valid loss, accuracy, test loss, accuracy); no statistic is updated."""
    s = network.dataset
    members, is_train = _split(seed_key, network, data, longest)
    # Validation images to the front, in an order of their own.
    valid = members[jnp.argsort(is_train, stable=True)]
    count = jnp.where(full, data.test_count_S[s], data.test_part_S[s])
    test = data.test_start_S[s] + jnp.arange(longest)
    return (
        *_measure(network, state, data.images_NxHxWxC, data.labels_N, valid,
                  data.valid_S[s]),
        *_measure(network, state, data.test_images_NxHxWxC,
                  data.test_labels_N, test, count))

  def _measure(network, state, pixels, labels, index_N, count):
    n = static.eval_batch
    index_N = jnp.pad(index_N, (0, n))  # the last batch is masked, not cut
    parts = vectors.split(state.vector_P, arch)

    def body(i, sums):
      index = jax.lax.dynamic_slice(index_N, (i * n,), (n,))
      logits, _ = cnn.apply(
          parts, augment.scale(pixels[index], static.dtype),
          network.activation, arch,
          batch_statistics=static.eval_bn == 'batch')
      mine = i * n + jnp.arange(n) < count
      loss = jnp.where(mine, _cross_entropy(logits, labels[index]), 0)
      right = mine & (logits.argmax(-1) == labels[index])
      return sums[0] + loss.sum(), sums[1] + right.sum(dtype=jnp.int32)

    rounds = jnp.where(network.active, -(-count // n), 0)
    loss, right = jax.lax.fori_loop(
        0, rounds, body, (jnp.zeros((), static.dtype), jnp.int32(0)))
    return loss / count, right / count

  return init, train, evaluate


def is_running(network, state):
  """Whether a network is still to be trained."""
  return network.active & (state.stopped < 0) & (state.diverged < 0)


def watch(state, metrics, epoch, patience):
  """The state after an evaluation was looked at; see `stopping`."""
  new, stop = stopping.update(state.watch, metrics.valid_accuracy, patience)
  stop &= (state.stopped < 0) & (state.diverged < 0)
  return state._replace(
      watch=new, stopped=jnp.where(stop, jnp.int32(epoch), state.stopped))


def _key(seed_key, network, stream):
  return jax.random.fold_in(jax.random.fold_in(seed_key, network.id), stream)


def _cross_entropy(logits_BxK, labels_B):
  chosen = jnp.take_along_axis(logits_BxK, labels_B[:, None], axis=-1)[:, 0]
  return jax.nn.logsumexp(logits_BxK, axis=-1) - chosen


def _prepare(seed_key, network, step, pixels, dtype):
  key = jax.random.fold_in(_key(seed_key, network, _AUGMENT), step)
  return jax.lax.cond(
      network.augmentation,
      lambda: augment.augment(key, pixels, dtype),
      lambda: augment.scale(pixels, dtype))


def _split(seed_key, network, data, longest):
  """This network's own cut: (its images sorted by class [N], is_train [N])."""
  u = jax.random.bits(_key(seed_key, network, _SPLIT), (longest,))
  own = jnp.arange(longest) < data.count_S[network.dataset]
  index = jnp.where(own, data.start_S[network.dataset] + jnp.arange(longest), 0)
  labels = jnp.where(own, data.labels_N[index], _NOBODY)
  labels, _, index = jax.lax.sort((labels, u, index), num_keys=2)
  rank, counts = _rank(labels)
  cut = images.cut(counts)[jnp.minimum(labels, space.NUM_CLASSES - 1)]
  is_train = (rank < cut) | (labels == _NOBODY)  # padding is not validation
  return index, is_train


def _rank(labels_N):
  """Position within its class, of labels in order; and the class counts."""
  classes = jnp.arange(space.NUM_CLASSES)
  starts = jnp.searchsorted(labels_N, classes)
  ends = jnp.searchsorted(labels_N, classes, side='right')
  start = starts[jnp.minimum(labels_N, space.NUM_CLASSES - 1)]
  return jnp.arange(labels_N.shape[0]) - start, ends - starts


def _epoch_order(seed_key, network, data, epoch, longest):
  """Indices of the epoch's images in order: a new balanced draw, shuffled."""
  index, is_train = _split(seed_key, network, data, longest)
  key = jax.random.fold_in(_key(seed_key, network, _EPOCH), epoch)
  u, v = jax.random.bits(key, (longest, 2)).T
  own = data.labels_N[index]
  n = jnp.arange(longest)
  labels = jnp.where(
      is_train & (n < data.count_S[network.dataset]), own, _NOBODY)
  labels, _, index, v = jax.lax.sort((labels, u, index, v), num_keys=2)
  rank, _ = _rank(labels)
  chosen = (rank < data.a_class_S[network.dataset]) & (labels != _NOBODY)
  return jax.lax.sort((~chosen, v, index), num_keys=2)[2]

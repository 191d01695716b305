"""Training and evaluation of ONE network; `population` maps them over many."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nws_jax import space
from nws_jax.zoo import (
  augment,
  dataset,
  draws,
  families,
  optimizers,
  stopping,
)
from nws_jax.zoo.families import interface

EVAL_BATCH = 250  # images measured at once
EVAL_FEW = 50  # the same where one network has a core: less is filled up


class Static(NamedTuple):
  """What a program is compiled for."""
  arch: Any  # an `interface.Architecture` or `Envelope`
  batch_size: int
  lr_decay: float  # factor an epoch
  eval_bn: str  # 'running' or 'batch'
  eval_augmentation: bool  # of networks that train with it
  eval_batch: int  # images measured at once
  patience: int  # of early stopping; 0: never
  options: Any  # of the family
  dtype: str
  form: Any  # of the family: how dots are computed
  augmentations: tuple = (False, True)  # that networks choose from
  optimizers: tuple = space.OPTIMIZER.choices  # names in use


class Network(NamedTuple):
  """Settings of one network, scalars; one in a population has an axis M."""
  id: jnp.ndarray
  dataset: jnp.ndarray  # index into the program's image sets
  learning_rate: jnp.ndarray
  weight_decay: jnp.ndarray
  augmentation: jnp.ndarray
  optimizer: jnp.ndarray  # index into `optimizers.RULES`
  active: jnp.ndarray  # False: an empty slot, which is never trained
  own: Any  # settings of the family


class State(NamedTuple):
  """What training changes."""
  vector_P: jnp.ndarray
  slots: optimizers.Slots
  step: jnp.ndarray  # updates made
  epoch: jnp.ndarray  # the last one evaluated; -1: none
  diverged: jnp.ndarray  # epoch in which the network was frozen, or -1
  stopped: jnp.ndarray  # epoch after which it was stopped early, or -1
  watch: stopping.Watch


class Metrics(NamedTuple):
  """Means over what was looked at; NaN where nothing was."""
  train_loss: jnp.ndarray
  train_accuracy: jnp.ndarray
  valid_loss: jnp.ndarray
  valid_accuracy: jnp.ndarray
  test_loss: jnp.ndarray
  test_accuracy: jnp.ndarray


def init(static, seed_key, network):
  """A network before its first update and evaluation."""
  key = jax.random.fold_in(draws.stream(seed_key, network, draws.INIT), 0)
  vector = families.of(static.arch).init(
      key, network.own, static.arch).astype(static.dtype)
  slots = optimizers.init(vector, network.optimizer, static.optimizers)
  return State(vector, slots, jnp.int32(0), jnp.int32(-1), jnp.int32(-1),
               jnp.int32(-1), stopping.init())


def run_epoch(static, longest, seed_key, network, state, full, data):
  """Trains and evaluates for one epoch; epoch 0 is an evaluation alone.

  Args:
    static: `Static`.
    longest: images of the largest set: static, since it is an array's size.
    seed_key: root key of the population.
    network: `Network`.
    state: `State`; of a frozen network it is evaluated, and stays as it is.
    full: whether all test images are looked at, not a part.
    data: `dataset.Data`.

  Returns:
    State, Metrics.
  """
  epoch = state.epoch + is_running(network, state)
  state, loss, accuracy = train_epoch(
      static, longest, seed_key, network, state, data, epoch)
  (valid, test) = zip(*_evaluate(static, longest, seed_key, network,
                                 state.vector_P, epoch, full, data))
  metrics = Metrics(loss, accuracy, *valid, *test)
  watch, stop = stopping.update(
      state.watch, metrics.valid_accuracy, static.patience)
  stop &= is_running(network, state)
  return state._replace(epoch=epoch, watch=watch, stopped=jnp.where(
      stop, epoch, state.stopped)), metrics


def is_running(network, state):
  """Whether a network is still to be trained."""
  return network.active & (state.stopped < 0) & (state.diverged < 0)


def train_epoch(static, longest, seed_key, network, state, data, epoch):
  """One epoch of updates: (state, mean loss, mean accuracy)."""
  size = static.batch_size
  order = draws.epoch_order(seed_key, network, data, epoch, longest)
  steps = jnp.where(
      is_running(network, state) & (epoch > 0),
      dataset.count_steps(data.a_class_S[network.dataset], size), 0)
  rate = (network.learning_rate * static.lr_decay ** (epoch - 1)).astype(
      static.dtype)
  own_P = families.of(static.arch).own_mask(static.arch, network.own)

  def body(carry):
    i, state, loss_sum, correct = carry
    index = jax.lax.dynamic_slice(order, (i * size,), (size,))
    new, loss, accuracy = update(
        static, seed_key, network, state, data.images_NxHxWxC[index],
        data.labels_N[index], rate, own_P)
    good = jnp.isfinite(loss) & jnp.isfinite(new.vector_P).all()
    # A network that leaves the finite numbers stays where it last was.
    frozen = state._replace(diverged=epoch)
    state = jax.tree.map(lambda a, b: jnp.where(good, a, b), new, frozen)
    return (i + good, state, loss_sum + jnp.where(good, loss, 0),
            correct + jnp.where(good, accuracy, 0))

  zero = jnp.zeros((), static.dtype)
  done, state, loss_sum, correct = jax.lax.while_loop(
      lambda c: (c[0] < steps) & (c[1].diverged < 0), body,
      (jnp.int32(0), state, zero, zero))
  return state, loss_sum / done, correct / done


def update(static, seed_key, network, state, pixels, labels, rate, own_P):
  """One update: (state, loss, accuracy)."""
  arch = static.arch
  key = jax.random.fold_in(
      draws.stream(seed_key, network, draws.AUGMENT), state.step)
  x = _prepare(static, key, network.augmentation, pixels)
  key = jax.random.fold_in(
      draws.stream(seed_key, network, draws.DROPOUT), state.step)

  def loss_fn(parts):
    logits, batch = family.apply(
        parts, x, network.own, arch, interface.Mode(
            static.options, static.form, key, batch_statistics=True))
    loss = _cross_entropy(logits, labels).mean()
    return loss, (batch, (logits.argmax(-1) == labels).mean())

  family = families.of(arch)
  layout = family.layout(arch)
  parts = layout.split(state.vector_P)
  (loss, (batch, accuracy)), gradient = jax.value_and_grad(
      loss_fn, has_aux=True)(parts)
  # Running statistics have no gradient: their places take new values.
  for name, new in family.update_running(parts, batch).items():
    gradient[name] |= new
  new_P = layout.join(gradient)
  running_P = layout.running
  fixed_P = running_P if own_P is None else running_P | ~own_P
  delta, slots = optimizers.update(
      jnp.where(fixed_P, 0, new_P), state.slots, network.optimizer, rate,
      state.step, static.optimizers)
  # Decoupled from the gradient (Loshchilov and Hutter, arXiv 1711.05101), so
  # that it means the same to all optimizers.
  delta -= rate * network.weight_decay * jnp.where(
      layout.mask('kernel'), state.vector_P, 0)
  vector = jnp.where(running_P, new_P, state.vector_P + delta)
  return state._replace(
      vector_P=vector, slots=slots, step=state.step + 1), loss, accuracy


def _evaluate(static, longest, seed_key, network, vector_P, epoch, full, data):
  """(losses, accuracies), of validation and test; no statistic is updated."""
  s, n = network.dataset, static.eval_batch
  members, is_train = draws.split(seed_key, network, data, longest)
  index_2xN = jnp.stack([  # of validation images the first ones
      members[jnp.argsort(is_train, stable=True)],
      data.test_start_S[s] + jnp.arange(longest)])
  index_2xN = jnp.pad(index_2xN, ((0, 0), (0, n)))  # masked, not cut
  count_2 = jnp.stack([data.valid_S[s], jnp.where(
      full, data.test_count_S[s], data.test_part_S[s])])
  key = jax.random.fold_in(
      draws.stream(seed_key, network, draws.EVALUATE), epoch)
  family = families.of(static.arch)
  parts = family.layout(static.arch).split(vector_P)
  mode = interface.Mode(  # measured as anybody would who has the weights
      static.options, static.form._replace(precision='float32'),
      batch_statistics=static.eval_bn == 'batch')

  def measure(side):
    def body(i, sums):
      index = jax.lax.dynamic_slice(index_2xN, (side, i * n), (1, n))[0]
      x = (_prepare(static, jax.random.fold_in(
          jax.random.fold_in(key, side), i), network.augmentation,
                    data.images_NxHxWxC[index]) if static.eval_augmentation
           else augment.scale(data.images_NxHxWxC[index], static.dtype))
      logits, _ = family.apply(parts, x, network.own, static.arch, mode)
      labels = data.labels_N[index]
      mine = i * n + jnp.arange(n) < count_2[side]
      loss = jnp.where(mine, _cross_entropy(logits, labels), 0)
      right = mine & (logits.argmax(-1) == labels)
      return sums[0] + loss.sum(), sums[1] + right.sum(dtype=jnp.int32)

    rounds = jnp.where(network.active, -(-count_2[side] // n), 0)
    return jax.lax.fori_loop(
        0, rounds, body, (jnp.zeros((), static.dtype), jnp.int32(0)))

  loss_2, right_2 = jax.lax.map(measure, jnp.arange(2, dtype=jnp.int32))
  return loss_2 / count_2, right_2 / count_2


def _prepare(static, key, augmented, pixels):
  ways = {True: lambda: augment.augment(key, pixels, static.dtype),
          False: lambda: augment.scale(pixels, static.dtype)}
  if len(static.augmentations) == 1:
    return ways[static.augmentations[0]]()
  return jax.lax.cond(augmented, ways[True], ways[False])


def _cross_entropy(logits_BxK, labels_B):
  chosen = jnp.take_along_axis(logits_BxK, labels_B[:, None], axis=-1)[:, 0]
  return jax.nn.logsumexp(logits_BxK, axis=-1) - chosen

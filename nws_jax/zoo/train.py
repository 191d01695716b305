"""Training and evaluation of ONE network; `population` maps them over many."""

import dataclasses
from collections.abc import Hashable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nws_jax import layout as layouts
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

EVAL_BATCH = 250  # images of a batch of an evaluation
EVAL_FEW = 50  # the same where a network has a core of its own: less padding

Array = Any  # of NumPy until it is placed on the devices, then of JAX


class Static(NamedTuple):
  """What a program is compiled for; hashable."""
  arch: interface.Shape
  batch_size: int
  lr_decay: float  # factor on the learning rate per epoch
  eval_bn: str  # statistics of batch norm: 'running' or 'batch'
  eval_augmentation: bool  # augment in evaluations if the network trains so
  eval_batch: int  # images of a batch of an evaluation
  patience: int  # of early stopping; 0: never
  options: Hashable  # of the family
  dtype: str
  form: Any  # of the family: how dots are computed
  augmentations: tuple[bool, ...] = (False, True)  # that the networks have
  optimizers: tuple[str, ...] = space.OPTIMIZER.choices  # of the networks


class Network(NamedTuple):
  """Settings of one network, scalars; in a population they have an axis M."""
  id: Array
  dataset: Array  # index into the program's image sets
  learning_rate: Array
  weight_decay: Array
  augmentation: Array
  optimizer: Array  # index into `optimizers.RULES`
  active: Array  # False: an empty slot, which is never trained
  own: Any  # settings of the family


@dataclasses.dataclass(frozen=True)
class Task:
  """The training of one network: all that stays the same in it.

  It is made inside the function that is compiled, and is no pytree: the first
  fields are static, the others are arrays.
  """
  static: Static
  longest: int  # images of the largest set, which fixes the size of arrays

  seed_key: jax.Array  # root key of the population
  network: Network
  data: dataset.Data


class State(NamedTuple):
  """What training changes."""
  vector_P: jax.Array
  slots: optimizers.Slots
  step: jax.Array  # number of updates
  epoch: jax.Array  # the last one evaluated; -1: none
  diverged: jax.Array  # epoch in which the network was frozen, or -1
  stopped: jax.Array  # epoch after which it was stopped early, or -1
  watch: stopping.Watch


class Metrics(NamedTuple):
  """Means over images; NaN where there were none."""
  train_loss: jax.Array
  train_accuracy: jax.Array
  valid_loss: jax.Array
  valid_accuracy: jax.Array
  test_loss: jax.Array
  test_accuracy: jax.Array


def init(static: Static, seed_key: jax.Array, network: Network) -> State:
  """The state of a network before its first evaluation and update."""
  key = jax.random.fold_in(draws.stream(seed_key, network, draws.INIT), 0)
  vector = families.of(static.arch).init(
      key, network.own, static.arch).astype(static.dtype)
  slots = optimizers.init(vector, network.optimizer, static.optimizers)
  return State(vector, slots, jnp.int32(0), jnp.int32(-1), jnp.int32(-1),
               jnp.int32(-1), stopping.init())


def run_epoch(task: Task, state: State, full: jax.Array | bool
              ) -> tuple[State, Metrics]:
  """Trains a network for one epoch and evaluates it.

  Epoch 0 has no updates. A network that was frozen or stopped is evaluated
  again, and its weights stay the same.

  Args:
    task: the training of the network.
    state: before the epoch.
    full: whether to evaluate on all test images, not on a part of them.

  Returns:
    (the state after the epoch, metrics).
  """
  epoch = state.epoch + is_running(task.network, state)
  state, loss, accuracy = train_epoch(task, state, epoch)
  valid, test = zip(*_evaluate(task, state.vector_P, epoch, full))
  metrics = Metrics(loss, accuracy, *valid, *test)
  watch, stop = stopping.update(
      state.watch, metrics.valid_accuracy, task.static.patience)
  stop &= is_running(task.network, state)
  return state._replace(epoch=epoch, watch=watch, stopped=jnp.where(
      stop, epoch, state.stopped)), metrics


def is_running(network: Network, state: State) -> jax.Array:
  """Whether a network is still in training."""
  return network.active & (state.stopped < 0) & (state.diverged < 0)


def train_epoch(task: Task, state: State, epoch: jax.Array
                ) -> tuple[State, jax.Array, jax.Array]:
  """Makes the updates of an epoch: (state, mean loss, mean accuracy)."""
  static, network, data = task.static, task.network, task.data
  size = static.batch_size
  order = draws.epoch_order(task, epoch)
  steps = jnp.where(
      is_running(network, state) & (epoch > 0),
      dataset.count_steps(data.a_class_S[network.dataset], size), 0)
  rate = (network.learning_rate * static.lr_decay ** (epoch - 1)).astype(
      static.dtype)
  own_P = families.of(static.arch).own_mask(static.arch, network.own)

  def body(carry: tuple[jax.Array, State, jax.Array, jax.Array]
           ) -> tuple[jax.Array, State, jax.Array, jax.Array]:
    i, state, loss_sum, correct = carry
    index = jax.lax.dynamic_slice(order, (i * size,), (size,))
    new, loss, accuracy = update(
        task, state, data.images_NxHxWxC[index], data.labels_N[index], rate,
        own_P)
    good = jnp.isfinite(loss) & jnp.isfinite(new.vector_P).all()
    # Where a value is no longer finite, the network keeps its last finite state
    # and is frozen.
    frozen = state._replace(diverged=epoch)
    state = jax.tree.map(lambda a, b: jnp.where(good, a, b), new, frozen)
    return (i + good, state, loss_sum + jnp.where(good, loss, 0),
            correct + jnp.where(good, accuracy, 0))

  zero = jnp.zeros((), static.dtype)
  done, state, loss_sum, correct = jax.lax.while_loop(
      lambda c: (c[0] < steps) & (c[1].diverged < 0), body,
      (jnp.int32(0), state, zero, zero))
  return state, loss_sum / done, correct / done


def update(task: Task, state: State, pixels: jax.Array, labels: jax.Array,
           rate: jax.Array, own_P: jax.Array | None
           ) -> tuple[State, jax.Array, jax.Array]:
  """Makes one update: (state, loss, accuracy).

  Args:
    task: the training of the network.
    state: before the update.
    pixels: uint8 [B, H, W, C], before augmentation.
    labels: int32 [B].
    rate: the learning rate.
    own_P: bool, which values of the vector are the network's; None: all.
  """
  static, network, arch = task.static, task.network, task.static.arch
  family = families.of(arch)
  layout = family.layout(arch)
  key = jax.random.fold_in(
      draws.stream(task.seed_key, network, draws.AUGMENT), state.step)
  x = _prepare(static, key, network.augmentation, pixels)
  key = jax.random.fold_in(
      draws.stream(task.seed_key, network, draws.DROPOUT), state.step)

  def loss_fn(parts: layouts.Parts) -> tuple[jax.Array, tuple[Any, jax.Array]]:
    logits, batch = family.apply(
        parts, x, network.own, arch, interface.Mode(
            static.options, static.form, key, batch_statistics=True))
    loss = _cross_entropy(logits, labels).mean()
    return loss, (batch, (logits.argmax(-1) == labels).mean())

  parts = layout.split(state.vector_P)
  (loss, (batch, accuracy)), gradient = jax.value_and_grad(
      loss_fn, has_aux=True)(parts)
  # Running statistics have no gradient: their new values take its place.
  for name, new in family.update_running(parts, batch).items():
    gradient[name] |= new
  new_P = layout.join(gradient)
  running_P = layout.running
  fixed_P = running_P if own_P is None else running_P | ~own_P
  delta, slots = optimizers.update(
      jnp.where(fixed_P, 0, new_P), state.slots, network.optimizer, rate,
      state.step, static.optimizers)
  # Weight decay is decoupled from the gradient (Loshchilov and Hutter, arXiv
  # 1711.05101), so that it means the same for all optimizers.
  delta -= rate * network.weight_decay * jnp.where(
      layout.mask('kernel'), state.vector_P, 0)
  vector = jnp.where(running_P, new_P, state.vector_P + delta)
  return state._replace(
      vector_P=vector, slots=slots, step=state.step + 1), loss, accuracy


def _evaluate(task: Task, vector_P: jax.Array, epoch: jax.Array,
              full: jax.Array | bool) -> tuple[jax.Array, jax.Array]:
  """(losses [2], accuracies [2]), of validation and test images.

  No statistic is updated.
  """
  static, network, data = task.static, task.network, task.data
  s, n = network.dataset, static.eval_batch
  members, is_train = draws.split(task)
  index_2xN = jnp.stack([  # validation images come first
      members[jnp.argsort(is_train, stable=True)],
      data.test_start_S[s] + jnp.arange(task.longest)])
  index_2xN = jnp.pad(index_2xN, ((0, 0), (0, n)))  # padding is masked below
  count_2 = jnp.stack([data.valid_S[s], jnp.where(
      full, data.test_count_S[s], data.test_part_S[s])])
  key = jax.random.fold_in(
      draws.stream(task.seed_key, network, draws.EVALUATE), epoch)
  family = families.of(static.arch)
  parts = family.layout(static.arch).split(vector_P)
  mode = interface.Mode(  # float32, as for users of the stored weights
      static.options, static.form._replace(precision='float32'),
      batch_statistics=static.eval_bn == 'batch')

  def measure(side: jax.Array) -> tuple[jax.Array, jax.Array]:
    def body(i: jax.Array, sums: tuple[jax.Array, jax.Array]
             ) -> tuple[jax.Array, jax.Array]:
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


def _prepare(static: Static, key: jax.Array, augmented: Array,
             pixels: jax.Array) -> jax.Array:
  """Images in [0, 1], augmented or not: [B, H, W*C]."""
  branches = {True: lambda: augment.augment(key, pixels, static.dtype),
              False: lambda: augment.scale(pixels, static.dtype)}
  if len(static.augmentations) == 1:
    return branches[static.augmentations[0]]()
  return jax.lax.cond(augmented, branches[True], branches[False])


def _cross_entropy(logits_BxK: jax.Array, labels_B: jax.Array) -> jax.Array:
  chosen = jnp.take_along_axis(logits_BxK, labels_B[:, None], axis=-1)[:, 0]
  return jax.nn.logsumexp(logits_BxK, axis=-1) - chosen

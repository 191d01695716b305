"""Trains one meta-classifier; `many` maps these functions over many.

A model is a pytree of its own data (a `Task`: labels, sides, epochs), so that
folds, cells of a grid and permuted labels all train in one program. A `View`
gives the inputs: windows, or features of them.
"""

import functools
from typing import Any, NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nws_jax.meta.classifiers import interface
from nws_jax.meta.data.windows import Array


class Plan(NamedTuple):
  """How long and how fast; static."""
  steps: int  # at most, rounded up to whole rounds
  round_steps: int  # between two validations
  patience: int  # rounds without a better validation loss
  batch: int
  learning_rate: float
  span: int  # snapshots of a network that are used


class Job(NamedTuple):
  """Which models are trained together, and what they predict."""
  tasks: interface.Task  # with a leading axis of models
  tests: Sequence[interface.Task]  # the like, of what is predicted
  keys: jax.Array  # one a model; consumed
  outputs: int  # classes, or 1
  span: int  # snapshots of a network that are used
  kept: int  # how many models are returned, the first ones


class State(NamedTuple):
  """A model in training."""
  variables: interface.Variables
  moments: optax.OptState
  best: interface.Variables
  best_loss: jax.Array
  waited: jax.Array  # rounds since the best
  step: jax.Array


class Programs(NamedTuple):
  """Functions of one model; or of many with a leading axis, compiled."""
  start: Any  # (shared, task, key) -> State
  # (shared, task, key, state) -> State after a round; a stopped one does not
  # change
  advance: Any
  # (shared, task, variables) -> outputs [N, span, S, O] of the test networks
  predict: Any


class _Setup(NamedTuple):
  """What `make_fit` is given; static."""
  model: interface.Model
  view: interface.View
  plan: Plan
  tx: optax.GradientTransformation


_VALIDATED = 8  # windows of a validation network, the same in every round


def weigh(labels_M: np.ndarray, sides: Sequence[np.ndarray],
          networks: np.ndarray) -> np.ndarray:
  """Weights [M] that give each class, on each side, its share of all networks.

  Without them a classifier leans on the classes that its training side has most
  of, which in cross-validation are those that its test side lacks: what cannot
  be read at all is then found below chance.

  Args:
    labels_M: int classes.
    sides: rows of the training networks, and of the validation networks.
    networks: rows of all that any fold trains or validates on.
  """
  weights_M = np.ones(len(labels_M), np.float32)
  share_K = np.bincount(labels_M[networks]) / len(networks)
  for rows in sides:
    count_K = np.bincount(labels_M[rows], minlength=len(share_K))
    weights_M[rows] = share_K[labels_M[rows]] * len(rows) / count_K[
        labels_M[rows]]
  return weights_M


def make_fit(model: interface.Model, view: interface.View,
             plan: Plan) -> Programs:
  """The functions of one model, trained by Adam, as published."""
  setup = _Setup(model, view, plan, optax.adam(plan.learning_rate))
  return Programs(functools.partial(_start, setup),
                  functools.partial(_advance, setup),
                  functools.partial(_predict, setup))


def _start(setup: _Setup, shared: Any, task: interface.Task,
           key: jax.Array) -> State:
  draw_key, init_key = jax.random.split(key)
  m_N = task.train_N
  # One input of each training network, for what a model takes from the data.
  inputs = setup.view.pick(shared, draw_key, m_N, task.first + jnp.arange(
      m_N.size) % setup.plan.span)
  variables = setup.model.init(init_key, inputs)
  return State(variables, setup.tx.init(variables['params']), variables,
               jnp.float32(jnp.inf), jnp.int32(0), jnp.int32(0))


def _advance(setup: _Setup, shared: Any, task: interface.Task, key: jax.Array,
             state: State) -> State:
  # Fold in what no step is, for draws that are the same in every round.
  valid_key = jax.random.fold_in(key, jnp.iinfo(jnp.int32).max)
  new = jax.lax.fori_loop(
      0, setup.plan.round_steps,
      lambda _, s: _update(setup, shared, task, key, s), state)
  loss = _validate(setup, shared, task, valid_key, new.variables)
  better = loss < state.best_loss
  new = new._replace(
      best=choose(better, new.variables, state.best),
      best_loss=jnp.where(better, loss, state.best_loss),
      waited=jnp.where(better, 0, state.waited + 1))
  return choose(state.waited >= setup.plan.patience, state, new)


def _update(setup: _Setup, shared: Any, task: interface.Task, key: jax.Array,
            state: State) -> State:
  """One step of Adam on a batch of the training side."""
  draw_key, apply_key = jax.random.split(jax.random.fold_in(key, state.step))
  inputs, labels_B, weights_B = _draw(setup, shared, task, draw_key)

  def loss(params: Any) -> tuple[jax.Array, interface.Variables]:
    outputs_BxO, rest = setup.model.apply(
        {**state.variables, 'params': params}, inputs, apply_key)
    return (weights_B * interface.measure_loss(
        outputs_BxO, labels_B)).mean(), rest

  grads, rest = jax.grad(loss, has_aux=True)(state.variables['params'])
  updates, moments = setup.tx.update(grads, state.moments)
  params = optax.apply_updates(state.variables['params'], updates)
  return state._replace(variables={**rest, 'params': params},
                        moments=moments, step=state.step + 1)


def _draw(setup: _Setup, shared: Any, task: interface.Task,
          key: jax.Array) -> tuple[Any, Array, Array]:
  """A batch of the training side: (inputs, labels, weights)."""
  plan = setup.plan
  row_key, epoch_key, window_key = jax.random.split(key, 3)
  m_B = task.train_N[jax.random.randint(
      row_key, (plan.batch,), 0, task.trains)]
  e_B = task.first + jax.random.randint(
      epoch_key, (plan.batch,), 0, plan.span)
  return (setup.view.pick(shared, window_key, m_B, e_B), task.labels_M[m_B],
          task.weights_M[m_B])


def _validate(setup: _Setup, shared: Any, task: interface.Task, key: jax.Array,
              variables: interface.Variables) -> jax.Array:
  """The mean loss of the validation networks."""
  view, plan = setup.view, setup.plan
  # One window of each network is enough where there is only one.
  evenly = jax.tree.leaves(jax.eval_shape(view.grid, shared, 0, 0))[0]
  count = _VALIDATED if evenly.shape[0] * plan.span > 1 else 1

  def measure(at: tuple[jax.Array, jax.Array]) -> jax.Array:
    m, n = at
    keys = jax.random.split(jax.random.fold_in(key, n))
    e_W = task.first + jax.random.randint(keys[0], (count,), 0, plan.span)
    m_W = jnp.full(count, m)
    outputs, _ = setup.model.apply(
        variables, view.pick(shared, keys[1], m_W, e_W), None)
    return task.weights_M[m] * interface.measure_loss(
        outputs, task.labels_M[m_W]).mean()

  n_N = jnp.arange(task.valid_N.size)
  loss_N = jax.lax.map(measure, (task.valid_N, n_N),
                       batch_size=max(1, plan.batch // count))
  return jnp.sum(jnp.where(n_N < task.valids, loss_N, 0)) / task.valids


def _predict(setup: _Setup, shared: Any, task: interface.Task,
             variables: interface.Variables) -> jax.Array:
  def predict_network(m: jax.Array) -> jax.Array:
    def predict_snapshot(e: jax.Array) -> jax.Array:
      outputs, _ = setup.model.apply(
          variables, setup.view.grid(shared, m, task.first + e), None)
      return outputs
    return jax.lax.map(predict_snapshot, jnp.arange(setup.plan.span))
  return jax.lax.map(predict_network, task.test_N)


def choose(condition: jax.Array, yes: Any, no: Any) -> Any:
  """`jnp.where` of trees."""
  return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)

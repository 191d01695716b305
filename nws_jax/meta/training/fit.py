"""Trains a meta-classifier, written for ONE and mapped over many.

A model is a pytree of its own data (a `Task`: labels, sides, epochs), so that
folds, cells of a grid and permuted labels all train in one program. What the
inputs are is a `View`'s business: windows, or fixed features of them.
"""

import functools
from typing import Callable, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax


class Plan(NamedTuple):
  """How long and how fast; static."""
  steps: int  # at most, rounded up to whole rounds
  round_steps: int  # between two looks at the validation networks
  patience: int  # rounds without a better validation loss
  batch: int
  learning_rate: float
  span: int  # snapshots of a network that are used


class Task(NamedTuple):
  """One model's own data. Rows are padded; the first `n` of a side count."""
  labels_M: jax.Array  # int32 classes, or float32 standardised targets
  first: jax.Array  # its first snapshot; the last is first + span - 1
  train_N: jax.Array
  trains: jax.Array
  valid_N: jax.Array
  valids: jax.Array
  test_N: jax.Array
  weights_M: jax.Array  # of each network's loss: `weigh`


class View(NamedTuple):
  """How a classifier sees a network, from what all models share."""
  pick: Callable  # (shared, key, m_B, e_B) -> one random input of each
  grid: Callable  # (shared, m, e) -> the evenly spaced inputs [S, ...]


class Classifier(NamedTuple):
  """A pair of pure functions."""
  init: Callable  # (key, inputs) -> variables; inputs are of the train side
  apply: Callable  # (variables, inputs, key or None) -> outputs, variables


class State(NamedTuple):
  variables: dict
  moments: optax.OptState
  best: dict
  best_loss: jax.Array
  waited: jax.Array  # rounds since the best
  step: jax.Array


class _Model(NamedTuple):
  """What `make_fit` is given; static."""
  classifier: Classifier
  view: View
  plan: Plan
  tx: optax.GradientTransformation


_LOOKS = 8  # windows of a validation network, the same in every round


def measure_loss(outputs_BxO, labels_B):
  """Cross-entropy of classes, or the squared error of a target: [B]."""
  if jnp.issubdtype(labels_B.dtype, jnp.integer):
    return optax.softmax_cross_entropy_with_integer_labels(
        outputs_BxO, labels_B)
  predicted_B = outputs_BxO[:, 0]
  # The released code subtracted [B] from [B, 1] (docs/recipe.md, section 13).
  assert predicted_B.shape == labels_B.shape
  return (predicted_B - labels_B)**2


def weigh(labels_M, sides, networks):
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


def make_fit(classifier, view, plan):
  """Functions of one model: start, advance by a round, predict.

  start(shared, task, key) -> State; advance(shared, task, key, state) ->
  State, a stopped one unchanged; predict(shared, task, variables) ->
  outputs [N, span, S, O] of the test networks. Adam, as published.
  """
  model = _Model(classifier, view, plan, optax.adam(plan.learning_rate))
  return tuple(functools.partial(f, model) for f in (
      _start, _advance, _predict))


def _start(model, shared, task, key):
  draw_key, init_key = jax.random.split(key)
  m_N = task.train_N
  inputs = model.view.pick(shared, draw_key, m_N, task.first + jnp.arange(
      m_N.size) % model.plan.span)
  variables = model.classifier.init(init_key, inputs)
  return State(variables, model.tx.init(variables['params']), variables,
               jnp.float32(jnp.inf), jnp.int32(0), jnp.int32(0))


def _advance(model, shared, task, key, state):
  # Fold in what no step is, for draws that are the same in every round.
  valid_key = jax.random.fold_in(key, jnp.iinfo(jnp.int32).max)
  new = jax.lax.fori_loop(
      0, model.plan.round_steps,
      lambda _, s: _update(model, shared, task, key, s), state)
  loss = _validate(model, shared, task, valid_key, new.variables)
  better = loss < state.best_loss
  new = new._replace(
      best=choose(better, new.variables, state.best),
      best_loss=jnp.where(better, loss, state.best_loss),
      waited=jnp.where(better, 0, state.waited + 1))
  return choose(state.waited >= model.plan.patience, state, new)


def _update(model, shared, task, key, state):
  draw_key, apply_key = jax.random.split(jax.random.fold_in(key, state.step))
  inputs, labels_B, weights_B = _draw(model, shared, task, draw_key)

  def loss(params):
    outputs_BxO, rest = model.classifier.apply(
        {**state.variables, 'params': params}, inputs, apply_key)
    return (weights_B * measure_loss(outputs_BxO, labels_B)).mean(), rest

  grads, rest = jax.grad(loss, has_aux=True)(state.variables['params'])
  updates, moments = model.tx.update(grads, state.moments)
  params = optax.apply_updates(state.variables['params'], updates)
  return state._replace(variables={**rest, 'params': params},
                        moments=moments, step=state.step + 1)


def _draw(model, shared, task, key):
  """A batch of the training side: (inputs, labels, weights)."""
  plan = model.plan
  row_key, epoch_key, window_key = jax.random.split(key, 3)
  m_B = task.train_N[jax.random.randint(
      row_key, (plan.batch,), 0, task.trains)]
  e_B = task.first + jax.random.randint(
      epoch_key, (plan.batch,), 0, plan.span)
  return (model.view.pick(shared, window_key, m_B, e_B), task.labels_M[m_B],
          task.weights_M[m_B])


def _validate(model, shared, task, key, variables):
  """The mean loss of the validation networks."""
  view, plan = model.view, model.plan
  seen = jax.tree.leaves(jax.eval_shape(view.grid, shared, 0, 0))
  looks = _LOOKS if seen[0].shape[0] * plan.span > 1 else 1

  def look(at):
    m, n = at
    keys = jax.random.split(jax.random.fold_in(key, n))
    e_W = task.first + jax.random.randint(keys[0], (looks,), 0, plan.span)
    m_W = jnp.full(looks, m)
    outputs, _ = model.classifier.apply(
        variables, view.pick(shared, keys[1], m_W, e_W), None)
    return task.weights_M[m] * measure_loss(outputs, task.labels_M[m_W]).mean()

  n_N = jnp.arange(task.valid_N.size)
  loss_N = jax.lax.map(look, (task.valid_N, n_N),
                       batch_size=max(1, plan.batch // looks))
  return jnp.sum(jnp.where(n_N < task.valids, loss_N, 0)) / task.valids


def _predict(model, shared, task, variables):
  def score(m):
    def one(e):
      outputs, _ = model.classifier.apply(
          variables, model.view.grid(shared, m, task.first + e), None)
      return outputs
    return jax.lax.map(one, jnp.arange(model.plan.span))
  return jax.lax.map(score, task.test_N)


def choose(condition, yes, no):
  """`jnp.where` of trees."""
  return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)

"""Trains many models at once: `fit`'s functions mapped, and their rounds.

What has stopped makes room for others, so that no lane waits long.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax import errors
from nws_jax.meta.training import fit


def over(one, together):
  """A function of one model as one of many: side by side if `together`, or one
  after another."""
  return jax.vmap(one) if together else (
      lambda *models: jax.lax.map(lambda model: one(*model), models))


def map_fit(functions, together=True):
  """Maps what `fit.make_fit` made `over` models; compiled once a shape."""
  return tuple(
      jax.jit(lambda shared, *models, f=f: over(
          functools.partial(f, shared), together)(*models),
              donate_argnums=given)
      for f, given in zip(functions, ((), (3,), ())))


def run(mapped, shared, tasks, keys, plan,
        progress=lambda done, going: None):
  """`train`, and what the models say of their test networks.

  Returns:
    outputs [models, N, span, S, O], float32 on the host.
  """
  variables = train(mapped, shared, tasks, keys, plan, progress)
  return np.asarray(mapped[2](shared, tasks, variables))


def train(mapped, shared, tasks, keys, plan,
          progress=lambda done, going: None, lanes=None):
  """Trains all models, some at once: what has stopped makes room for others.

  Args:
    mapped: from `map_fit`.
    shared: what all models see, whole.
    tasks: `fit.Task` with a leading axis of models.
    keys: one key a model; consumed.
    plan: the `fit.Plan` they were made with.
    progress: called after each round with the rounds done and the number of
      models that are still to be trained, or are in training.
    lanes: how many train at once; None for all.

  Returns:
    The best variables of each, on the host.

  Raises:
    errors.Damaged: a model's validation loss was never finite.
  """
  start, advance, _ = mapped
  models = len(keys)
  # The model in each lane; the last one again where there are too few.
  row_W = np.minimum(np.arange(lanes or models), models - 1)
  waiting, best, rounds = min(len(row_W), models), {}, 0
  last = -(-plan.steps // plan.round_steps) * plan.round_steps
  now = take(tasks, row_W), keys[row_W]
  state = start(shared, *now)
  while True:
    state = advance(shared, *now, state)
    rounds += 1
    done_W = ((np.asarray(state.waited) >= plan.patience)
              | (np.asarray(state.step) >= last))
    progress(rounds, len(set(row_W[~done_W])) + models - waiting)
    if not done_W.all() and (
        waiting == models or done_W.sum() < len(row_W) / _REFILL):
      if (np.asarray(state.step) >= last).any():
        state = state._replace(waited=jnp.where(
            jnp.asarray(done_W), plan.patience, state.waited))
      continue
    _keep(best, state, row_W, done_W)
    if waiting == models and done_W.all():
      break
    free = np.flatnonzero(done_W)[:models - waiting]
    row_W = row_W.copy()
    row_W[free] = waiting + np.arange(len(free))
    waiting += len(free)
    now = take(tasks, row_W), keys[row_W]
    state = _refill(np.isin(np.arange(len(row_W)), free),
                    start(shared, *now), state)
  return jax.tree.map(lambda *x: np.stack(x), *(best[m] for m in range(models)))


_REFILL = 3  # lanes are filled again when one in so many is free


@functools.partial(jax.jit, donate_argnums=2)
def _refill(new_W, fresh, state):
  """The state, with the fresh one in some of its lanes."""
  return jax.vmap(fit.choose)(new_W, fresh, state)


def take(tasks, rows):
  """Some of the models' tasks, on the device."""
  return jax.tree.map(lambda x: jnp.asarray(x[rows]), tasks)


def _keep(best, state, row_W, done_W):
  """Notes the best variables of lanes that are done, by their models."""
  if not np.isfinite(np.asarray(state.best_loss)[done_W]).all():
    raise errors.Damaged(
        'a meta-classifier diverged: its validation loss was never finite. '
        'Try a smaller --config.learning_rate.')
  variables = jax.tree.map(np.asarray, state.best)
  for lane in np.flatnonzero(done_W):
    best.setdefault(int(row_W[lane]), jax.tree.map(
        lambda x, lane=lane: x[lane], variables))

"""Trains many models at once: `fit`'s functions mapped, and their rounds.

A model that has stopped gives its lane to one that waits.
"""

import functools
from typing import Any, Callable

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax import errors
from nws_jax.meta.classifiers import interface
from nws_jax.meta.training import fit

_REFILL = 3  # lanes are filled again when one in so many is free


def over(function: Callable[..., Any], together: bool) -> Callable[..., Any]:
  """A function of one model as one of many: side by side if `together`, or one
  after another."""
  return jax.vmap(function) if together else (
      lambda *models: jax.lax.map(lambda model: function(*model), models))


def map_fit(programs: fit.Programs, together: bool = True) -> fit.Programs:
  """Maps the programs of `fit.make_fit` over models; compiled once a shape."""
  def map_one(function: Callable[..., Any], donated: tuple[int, ...]) -> Any:
    return jax.jit(lambda shared, *models: over(
        functools.partial(function, shared), together)(*models),
                   donate_argnums=donated)

  return fit.Programs(map_one(programs.start, ()),
                      map_one(programs.advance, (3,)),  # the state
                      map_one(programs.predict, ()))


def train(programs: fit.Programs, shared: Any, tasks: interface.Task,
          keys: jax.Array, plan: fit.Plan,
          progress: Callable[[int, int], None] = lambda rounds, left: None,
          lanes: int | None = None) -> interface.Variables:
  """Trains all models in lanes: one that has stopped gives its lane to another.

  Args:
    programs: from `map_fit`.
    shared: what all models see, whole.
    tasks: with a leading axis of models.
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
  models = len(keys)
  # The model in each lane; the last one again where there are too few.
  row_W = np.minimum(np.arange(lanes or models), models - 1)
  begun = min(len(row_W), models)  # the models before this one have a lane
  best: dict[int, interface.Variables] = {}
  last = -(-plan.steps // plan.round_steps) * plan.round_steps
  now = take(tasks, row_W), keys[row_W]
  state, rounds = programs.start(shared, *now), 0
  while True:
    # 1. A round of all lanes; those that have stopped do not change.
    state = programs.advance(shared, *now, state)
    rounds += 1
    done_W = ((np.asarray(state.waited) >= plan.patience)
              | (np.asarray(state.step) >= last))
    progress(rounds, len(set(row_W[~done_W])) + models - begun)

    # 2. Go on as long as too few lanes are free to be worth filling. Lanes at
    # their last step are stopped as if their patience had ended.
    if not done_W.all() and (
        begun == models or done_W.sum() < len(row_W) / _REFILL):
      if (np.asarray(state.step) >= last).any():
        state = state._replace(waited=jnp.where(
            jnp.asarray(done_W), plan.patience, state.waited))
      continue

    # 3. Note what is done, and give its lanes to the models that wait.
    _collect(best, state, row_W, done_W)
    if begun == models and done_W.all():
      break
    free = np.flatnonzero(done_W)[:models - begun]
    row_W = row_W.copy()
    row_W[free] = begun + np.arange(len(free))
    begun += len(free)
    now = take(tasks, row_W), keys[row_W]
    state = _refill(np.isin(np.arange(len(row_W)), free),
                    programs.start(shared, *now), state)
  return jax.tree.map(lambda *x: np.stack(x), *(best[m] for m in range(models)))


@functools.partial(jax.jit, donate_argnums=2)
def _refill(new_W: jax.Array, fresh: fit.State, state: fit.State) -> fit.State:
  """The state, with the fresh one in the lanes that are new."""
  return jax.vmap(fit.choose)(new_W, fresh, state)


def take(models: Any, rows: Any) -> Any:
  """Some of the models' tasks, or variables, on the device."""
  return jax.tree.map(lambda x: jnp.asarray(x[rows]), models)


def _collect(best: dict[int, interface.Variables], state: fit.State,
             row_W: np.ndarray, done_W: np.ndarray) -> None:
  """Notes the best variables of lanes that are done, by their models."""
  if not np.isfinite(np.asarray(state.best_loss)[done_W]).all():
    raise errors.Damaged(
        'a meta-classifier diverged: its validation loss was never finite. '
        'Try a smaller --config.learning_rate.')
  variables = jax.tree.map(np.asarray, state.best)
  for lane in np.flatnonzero(done_W):
    best.setdefault(int(row_W[lane]), jax.tree.map(
        lambda x, lane=lane: x[lane], variables))

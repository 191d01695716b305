"""Trains one unit, round by round, while the round before is written."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nws_jax.zoo import (
  dataset,
  families,
  inputs,
  ledger,
  plan,
  population,
  progress,
)
from nws_jax.zoo import recipe as recipes


class Job(NamedTuple):
  """A unit, and what is needed to train it."""
  recipe: recipes.Recipe
  rows: list[dict[str, Any]]  # of `recipe.rows`
  data: dataset.Data
  stage: population.Stage
  unit: plan.Unit
  program: population.Program


def train(job: Job, book: ledger.Ledger, bar: progress.Bar) -> None:
  """Trains a unit, from its last committed round until all are finished."""
  recipe, rows, data, stage, unit, program = job
  round, turned, state = book.resume(program.blank())
  state, before_M = stage.place(state), np.empty(0, int)
  while (turned.ids_M >= 0).any():
    ids_M, fresh_M = turned
    if not np.array_equal(ids_M, before_M):
      networks_M = inputs.networks(
          recipe, [rows[id] if id >= 0 else None for id in ids_M], unit.width,
          unit.arch)
      placed, before_M = stage.place(networks_M), ids_M
    if fresh_M.any():
      state = program.reset(placed, state, stage.place(fresh_M))
    state, metrics = program.epoch(placed, state)
    try:
      book.write()  # the round before, while the device trains this one
      turned = book.take(round, ids_M, state, metrics)
    except KeyboardInterrupt:
      book.write()
      raise
    trained_M = networks_M.active & ~fresh_M
    if trained_M.any():
      steps_M = dataset.count_steps(
          data.a_class_S[networks_M.dataset[trained_M]], unit.batch_size)
      bar.advance(int(trained_M.sum()), unit.batch_size * int(steps_M.sum()))
    round += 1
  book.write()
  book.finish(lambda *networks: _measure(job, *networks))
  # What is left of the epochs was saved by stopping early.
  bar.skip(len(unit.ids) * recipe.epochs - book.trained)


def _measure(job: Job, ids: Sequence[int], vectors: Sequence[np.ndarray],
             epochs: Sequence[int]) -> ledger.Measured:
  """Evaluates networks on all test images.

  Args:
    job: the unit that they belong to.
    ids: the networks, at most as many as there are slots.
    vectors: the weights of each network.
    epochs: the epoch that each vector is of.
  """
  recipe, rows, _, stage, unit, program = job
  state: Any = program.blank()
  state.stopped[:] = 0  # so that networks are evaluated, and not trained
  for m, (id, vector_P, epoch) in enumerate(zip(ids, vectors, epochs)):
    state.vector_P[m, unit.place(families.architecture(rows[id]))] = vector_P
    state.epoch[m] = epoch
  metrics = ledger.wait(program.epoch(*stage.place((
      inputs.networks(recipe, [rows[id] for id in ids], unit.width, unit.arch),
      state)), full=True)[1])
  return ledger.Measured(
      np.asarray(metrics.test_loss), np.asarray(metrics.test_accuracy))

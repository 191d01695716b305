"""Fits the classifiers without gradients, one model after the other.

They are given the same networks, on the same sides, as what `fit` trains.
"""

from typing import Any, Callable

import jax
import numpy as np

from nws_jax.meta.classifiers import interface, sklearn_models
from nws_jax.meta.data import descriptions
from nws_jax.meta.training import fit


def run(estimator: interface.Estimator, bank: descriptions.Bank, job: fit.Job,
        progress: Callable[[int, int], None]
        ) -> tuple[list[np.ndarray], list[interface.Fitted]]:
  """Fits every task's model, and lets it predict.

  Args:
    estimator: what is fitted.
    bank: `descriptions.Bank`.
    job: `fit.Job`.
    progress: called with (models done, models to go).

  Returns:
    (outputs [models, N, span, S, O] for each of `job.tests`, [`Fitted`]).
  """
  drawn, even = map(np.asarray, bank)
  span, models = job.span, len(job.keys)
  outputs: list[list[np.ndarray]] = [[] for _ in job.tests]
  kept = []
  for n in range(models):
    task = jax.tree.map(lambda x, n=n: x[n], job.tasks)
    fitted = estimator.fit(
        _thin(_pick(drawn, task, span, task.train_N[:task.trains]),
              estimator.most_rows),
        _pick(even, task, span, task.valid_N[:task.valids]),
        job.outputs, int(jax.random.bits(job.keys[n]) >> 1))
    for outputs_n, test in zip(outputs, job.tests):
      epochs = slice(test.first[n], test.first[n] + span)
      outputs_n.append(predict(fitted, even[test.test_N[n], epochs]))
    if n < job.kept:
      kept.append(fitted)
    progress(n + 1, models - n - 1)
  return [np.stack(x) for x in outputs], kept


def predict(fitted: interface.Fitted, features_NxExSxF: Any) -> np.ndarray:
  """Outputs of described windows: [N, E, S, O]."""
  shape = features_NxExSxF.shape[:3]
  rows = np.asarray(features_NxExSxF).reshape(np.prod(shape), -1)
  return sklearn_models.predict(fitted, rows).reshape(
      shape + (fitted.outputs,))


def _pick(features_MxExSxF: np.ndarray, task: interface.Task, span: int,
          rows_N: np.ndarray) -> interface.Rows:
  """All windows of some networks."""
  features = features_MxExSxF[rows_N, task.first:task.first + span]
  shape = features.shape[:3]
  return interface.Rows(
      features.reshape(-1, features.shape[-1]),
      *(np.broadcast_to(x_M[rows_N, None, None], shape).ravel()
        for x_M in (task.labels_M, task.weights_M)))


def _thin(rows: interface.Rows, most: int) -> interface.Rows:
  """At most so many rows, evenly spaced ones."""
  count = len(rows.labels_N)
  if count <= most:
    return rows
  at = np.linspace(0, count - 1, most).astype(int)
  return interface.Rows(*(x[at] for x in rows))

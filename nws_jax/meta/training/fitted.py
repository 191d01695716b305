"""Fits the rungs without gradients, one model after the other.

They see the same rows, on the same sides, as the models that `fit` trains.
"""

import jax
import numpy as np

from nws_jax.meta import settings
from nws_jax.meta.classifiers import sklearn_models
from nws_jax.meta.data import windows

ROWS = 4000  # windows that a support vector machine is fitted to, at most


def run(name, bank, tasks, asked, keys, outputs, span, kept, progress):
  """Fits every task's model, and lets it predict.

  Args:
    name: majority, logistic, svm or boosting.
    bank: `windows.Bank`.
    tasks: `fit.Task` with a leading axis of models.
    asked: what they predict, each a `fit.Task` like `tasks`.
    keys: one a model; consumed.
    outputs: classes, or 1.
    span: snapshots of a network that are used.
    kept: how many models are returned, the first ones.
    progress: called with (models done, models to go).

  Returns:
    (outputs [models, N, span, S, O] for each of `asked`, [`Fitted`]).
  """
  bank, trained = windows.Bank(*map(np.asarray, bank)), []
  said = [[] for _ in asked]
  for n in range(len(keys)):
    task = jax.tree.map(lambda x, n=n: x[n], tasks)
    seed = int(jax.random.bits(keys[n]) >> 1)
    fitted = sklearn_models.fit(
        name, _thin(name, _pick(bank.drawn_MxExRxF, task, span,
                                task.train_N[:task.trains])),
        _pick(bank.even_MxExSxF, task, span, task.valid_N[:task.valids]),
        outputs, seed)
    for outputs_n, ask in zip(said, asked):
      epochs = slice(ask.first[n], ask.first[n] + span)
      outputs_n.append(say(fitted, bank.even_MxExSxF[ask.test_N[n], epochs]))
    trained += [fitted] * (n < kept)
    progress(n + 1, len(keys) - n - 1)
  return [np.stack(x) for x in said], trained


def say(fitted, rows_NxExSxF):
  """What a rung says of described windows: [N, E, S, O]."""
  shape = rows_NxExSxF.shape[:3]
  rows = np.asarray(rows_NxExSxF).reshape(np.prod(shape), -1)
  return sklearn_models.say(fitted, rows).reshape(shape + (fitted.outputs,))


def _pick(described, task, span, rows_N):
  """(rows [n, F], labels [n], weights [n]) of all windows of some networks."""
  rows = described[rows_N, task.first:task.first + span]
  return (rows.reshape(-1, rows.shape[-1]),) + tuple(
      np.broadcast_to(x_M[rows_N, None, None], rows.shape[:3]).ravel()
      for x_M in (task.labels_M, task.weights_M))


def _thin(name, rows):
  """At most so many rows as a support vector machine can be fitted to soon."""
  count = len(rows[1])
  if name != settings.SVM or count <= ROWS:
    return rows
  at = np.linspace(0, count - 1, ROWS).astype(int)
  return tuple(x[at] for x in rows)

"""Trials as tasks of models, and what the models say as outcomes of trials.

A `Trial` is one question: these labels, from this place, with these networks
held back. Its models are in the order (member, fold).
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from nws_jax.meta import settings
from nws_jax.meta.data import windows
from nws_jax.meta.training import fit, views


class Trial(NamedTuple):
  """One question, answered by models of their own."""
  place: int  # in the list of places
  values_FxM: np.ndarray  # int classes or floats, as each split has them
  sides: windows.Sides
  span: int  # snapshots that are used together
  first: int = 0  # the first of those trained on
  tests: tuple = (0,)  # the first ones of those tested on
  seed: int = 0


class Decisions(NamedTuple):
  """What the models say of networks they were not fitted to.

  `outputs` are log-probabilities of classes, or values of the target.
  """
  rows_T: np.ndarray  # the tested networks
  folds_T: np.ndarray
  true_T: np.ndarray  # what there is to say of them
  outputs_TxSxO: Any  # S: all windows of all snapshots


class Outcome(NamedTuple):
  """A trial's decisions: for each of its tests, and on validation networks."""
  tested: list
  valid: Any  # None unless asked for
  models: Any = None  # `Models`, None unless asked for


class Unit(NamedTuple):
  """What models say a number in; of one fold, or an array of all.

  Nobody was taught what lies beyond the values that were trained on, so nothing
  beyond them is said. Of classes it changes nothing.
  """
  center: Any = 0.0
  scale: Any = 1.0
  low: Any = -np.inf  # the least value that was trained on, in this unit
  high: Any = np.inf

  def read(self, said):
    """Outputs of models -> values of the target."""
    return np.clip(said, self.low, self.high) * self.scale + self.center


class Models(NamedTuple):
  """What was trained for a trial: in the order (member, fold)."""
  name: str
  looks: views.Looks
  outputs: int
  folds: int
  members: int
  trained: Any  # variables [members * folds, ...], or `baselines.Fitted`s
  units: Unit  # of arrays, one value a fold


def make_tasks(trials, some, offsets, members):
  """Tasks in the order (trial, member, fold); `Unit`s, (trial, fold)."""
  tasks, units = [], []
  for trial in (trials[t] for t in some):
    train_FxN, trains_F, valid_FxN, valids_F, test_FxN, _ = sides = trial.sides
    taught_N = np.unique(np.concatenate(_list_taught(sides, slice(None))))
    folds = []
    for f, values_M in enumerate(trial.values_FxM):
      labels_M, weights_M, unit = _label(
          values_M, _list_taught(sides, slice(f, f + 1)), taught_N)
      units.append(unit)
      folds.append(fit.Task(
          labels_M, np.int32(offsets[trial.place] + trial.first), train_FxN[f],
          trains_F[f], valid_FxN[f], valids_F[f], test_FxN[f], weights_M))
    tasks += folds * members
  longest = {n: max(getattr(t, n).size for t in tasks)
             for n in ('train_N', 'valid_N', 'test_N')}
  tasks = [t._replace(**{n: np.resize(getattr(t, n), size)
                         for n, size in longest.items()}) for t in tasks]
  return jax.tree.map(lambda *x: np.stack(x), *tasks), units


def _list_taught(sides, folds):
  """Rows of each fold's training side, then of each one's validation side."""
  return [rows[:n] for rows_FxN, n_F in (
      (sides.train_FxN, sides.trains_F), (sides.valid_FxN, sides.valids_F))
          for rows, n in zip(rows_FxN[folds], n_F[folds])]


def _label(values_M, taught, all_taught_N):
  """What a fold's models learn: (labels, weights, `Unit`)."""
  if values_M.dtype.kind != 'f':
    labels_M = values_M.astype(np.int32)
    return labels_M, fit.weigh(labels_M, taught, all_taught_N), Unit()
  train = values_M[taught[0]]
  center, scale = train.mean(), max(train.std(), 1e-12)
  low, high = (np.array([train.min(), train.max()]) - center) / scale
  return (((values_M - center) / scale).astype(np.float32),
          np.ones(len(values_M), np.float32), Unit(center, scale, low, high))


def ask(trials, some, offsets, tasks, members, validate):
  """What the models predict: a `Task` for each test, then the validation."""
  most = max(len(trials[t].tests) for t in some)
  models = [(t, offsets[trials[t].place]) for t in some
            for _ in range(members * len(trials[t].sides.trains_F))]
  asked = [tasks._replace(first=np.array(
      [offset + np.resize(trials[t].tests, most)[n] for t, offset in models],
      np.int32)) for n in range(most)]
  return asked + [tasks._replace(test_N=tasks.valid_N)] * validate


def join_units(units):
  """One `Unit` of arrays."""
  return Unit(*map(np.array, zip(*units)))


def average(said, units, members, outputs):
  """What the members of each fold say together: [folds, ...].

  Args:
    said: outputs of models, (member, fold) along the first axis.
    units: `Unit` of arrays, one value a fold.
    members: of each fold.
    outputs: classes, of which log-probabilities are given; 1 is a number.
  """
  if outputs > 1:
    said = np.asarray(jax.nn.log_softmax(said))
  said = said.reshape((members, -1) + said.shape[1:])
  if outputs == 1:
    said = Unit(*(np.reshape(x_F, (-1,) + (1,) * (said.ndim - 2))
                  for x_F in units)).read(said)
  return said.mean(0)


def collect(outcomes, trials, some, places, said, units, members, validate):
  """Cuts a group's outputs into the outcomes of its trials."""
  begin = unit = 0
  for t in some:
    trial, folds = trials[t], len(trials[t].sides.trains_F)
    end, unit_end = begin + members * folds, unit + folds
    even = views.count_even(places[trial.place])
    outputs = [average(
        part[begin:end, ..., :even, :], join_units(units[unit:unit_end]),
        members, part.shape[-1]) for part in said]
    sides = trial.sides
    outcomes[t] = Outcome(
        [_gather(o, trial, sides.test_FxN, sides.tests_F)
         for o in outputs[:len(trial.tests)]],
        _gather(outputs[-1], trial, sides.valid_FxN, sides.valids_F)
        if validate else None)
    begin, unit = end, unit_end


def keep(outcomes, trials, some, places, name, outputs, members, trained,
         units):
  """Adds their `Models` to the outcomes of `some`, a group's first trials."""
  begin = unit = 0
  for t in some:
    folds = len(trials[t].sides.trains_F)
    end = begin + members * folds
    outcomes[t] = outcomes[t]._replace(models=Models(
        name, places[trials[t].place].looks, outputs, folds, members,
        trained[begin:end] if name in settings.FITTED
        else jax.tree.map(lambda x, a=begin, b=end: x[a:b], trained),
        join_units(units[unit:unit + folds])))
    begin, unit = end, unit + folds


def _gather(said_FxNxExSxO, trial, rows_FxN, counts_F):
  """Every network's outputs, from the fold that it was held back from."""
  folds_T = np.repeat(np.arange(len(counts_F)), counts_F)
  rows_T = np.concatenate([r[:n] for r, n in zip(rows_FxN, counts_F)])
  outputs = np.concatenate(
      [said[:n] for said, n in zip(said_FxNxExSxO, counts_F)])
  order = np.argsort(rows_T, kind='stable')
  rows_T, folds_T = rows_T[order], folds_T[order]
  return Decisions(
      rows_T, folds_T, trial.values_FxM[folds_T, rows_T],
      outputs[order].reshape(len(rows_T), -1, outputs.shape[-1]))

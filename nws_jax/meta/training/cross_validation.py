"""Trials as tasks of models, and outputs of the models as outcomes of trials.

A `Trial` is one cross-validation: these labels, read in this place, with these
networks held back. Its models are in the order (member, fold).
"""

from typing import Any, NamedTuple, Sequence

import jax
import numpy as np

from nws_jax.meta.classifiers import interface
from nws_jax.meta.data import regions, splits
from nws_jax.meta.training import fit


class Trial(NamedTuple):
  """One cross-validation, by models of its own."""
  place: int  # in the list of places
  values_FxM: np.ndarray  # int classes or floats, as each split has them
  sides: splits.Sides
  span: int  # snapshots that are used together
  first: int = 0  # the first of those trained on
  tests: tuple[int, ...] = (0,)  # the first ones of those tested on
  seed: int = 0

  @property
  def folds(self) -> int:
    return len(self.sides.trains_F)


class Decisions(NamedTuple):
  """Outputs for networks that the models were not fitted to.

  `outputs` are log-probabilities of classes, or values of the target.
  """
  rows_T: np.ndarray  # the tested networks
  folds_T: np.ndarray
  true_T: np.ndarray  # their labels, or values of the target
  outputs_TxSxO: np.ndarray  # S: all windows of all snapshots


class TargetScale(NamedTuple):
  """The unit of a number's outputs; of one fold, or arrays of all.

  Outputs are held within the values that were trained on, beyond which nothing
  is known. Of classes it changes nothing.
  """
  center: Any = 0.0
  scale: Any = 1.0
  low: Any = -np.inf  # the least value that was trained on, in this unit
  high: Any = np.inf

  def invert(self, outputs: np.ndarray) -> np.ndarray:
    """Outputs of models -> values of the target."""
    return np.clip(outputs, self.low, self.high) * self.scale + self.center


class TrainedModels(NamedTuple):
  """What was trained for a trial: in the order (member, fold)."""
  classifier: interface.Classifier
  spec: regions.WindowSpec
  outputs: int
  folds: int
  members: int
  # Variables [members * folds, ...], or as many `interface.Fitted`s.
  trained: Any
  units: TargetScale  # of arrays, one value a fold


class Outcome(NamedTuple):
  """A trial's decisions: for each of its tests, and on validation networks."""
  tested: list[Decisions]
  valid: Decisions | None  # None unless asked for
  models: TrainedModels | None = None  # likewise


class Group(NamedTuple):
  """Trials whose models are trained together."""
  trials: list[Trial]
  classifier: interface.Classifier
  outputs: int  # classes, or 1
  places: Sequence[regions.AnyPlace]  # of all trials
  offsets: dict[int, int]  # place -> its first snapshot among the shared ones
  members: int  # models of each fold
  validate: bool  # whether validation networks are decided too


def make_tasks(group: Group) -> tuple[interface.Task, list[TargetScale]]:
  """Tasks in the order (trial, member, fold); scales, (trial, fold)."""
  tasks, units = [], []
  for trial in group.trials:
    sides = trial.sides
    taught_N = np.unique(np.concatenate(_list_taught(sides, slice(None))))
    folds = []
    for f, values_M in enumerate(trial.values_FxM):
      labels_M, weights_M, unit = _label(
          values_M, _list_taught(sides, slice(f, f + 1)), taught_N)
      units.append(unit)
      first = np.array(group.offsets[trial.place] + trial.first, np.int32)
      folds.append(interface.Task(
          labels_M, first, sides.train_FxN[f], sides.trains_F[f],
          sides.valid_FxN[f], sides.valids_F[f], sides.test_FxN[f], weights_M))
    tasks += folds * group.members
  # Sides differ in size; tasks of one program do not.
  longest = {n: max(getattr(t, n).size for t in tasks)
             for n in ('train_N', 'valid_N', 'test_N')}
  tasks = [t._replace(**{n: np.resize(getattr(t, n), size)
                         for n, size in longest.items()}) for t in tasks]
  return jax.tree.map(lambda *x: np.stack(x), *tasks), units


def _list_taught(sides: splits.Sides, folds: slice) -> list[np.ndarray]:
  """Rows of each fold's training side, then of each one's validation side."""
  return [rows[:n] for rows_FxN, n_F in (
      (sides.train_FxN, sides.trains_F), (sides.valid_FxN, sides.valids_F))
          for rows, n in zip(rows_FxN[folds], n_F[folds])]


def _label(values_M: np.ndarray, taught: list[np.ndarray],
           all_taught_N: np.ndarray
           ) -> tuple[np.ndarray, np.ndarray, TargetScale]:
  """What a fold's models learn: (labels, weights, their scale)."""
  if values_M.dtype.kind != 'f':
    labels_M = values_M.astype(np.int32)
    return (labels_M, fit.weigh(labels_M, taught, all_taught_N),
            TargetScale())
  train = values_M[taught[0]]
  center, scale = train.mean(), max(train.std(), 1e-12)
  low, high = (np.array([train.min(), train.max()]) - center) / scale
  return (((values_M - center) / scale).astype(np.float32),
          np.ones(len(values_M), np.float32),
          TargetScale(center, scale, low, high))


def list_tests(group: Group, tasks: interface.Task) -> list[interface.Task]:
  """What the models predict: a `Task` for each test, then the validation."""
  most = max(len(t.tests) for t in group.trials)
  models = [t for t in group.trials for _ in range(group.members * t.folds)]
  tests = [tasks._replace(first=np.array(
      [group.offsets[t.place] + np.resize(t.tests, most)[n] for t in models],
      np.int32)) for n in range(most)]
  if group.validate:
    tests.append(tasks._replace(test_N=tasks.valid_N))
  return tests


def join_units(units: Sequence[TargetScale]) -> TargetScale:
  """One `TargetScale` of arrays."""
  return TargetScale(*map(np.array, zip(*units)))


def average(outputs: np.ndarray, units: TargetScale, members: int,
            count: int) -> np.ndarray:
  """The mean of the outputs of each fold's members: [folds, ...].

  Args:
    outputs: of models, (member, fold) along the first axis.
    units: of arrays, one value a fold.
    members: of each fold.
    count: classes, of which log-probabilities are given; 1 is a number.
  """
  if count > 1:
    outputs = np.asarray(jax.nn.log_softmax(outputs))
  outputs = outputs.reshape((members, -1) + outputs.shape[1:])
  if count == 1:
    ones = (1,) * (outputs.ndim - 2)
    outputs = TargetScale(*(np.reshape(x_F, (-1,) + ones)
                            for x_F in units)).invert(outputs)
  return outputs.mean(0)


def collect(group: Group, outputs: list[np.ndarray],
            units: list[TargetScale]) -> list[Outcome]:
  """Cuts a group's outputs into the outcomes of its trials."""
  outcomes, begin, unit = [], 0, 0
  for trial in group.trials:
    end = begin + group.members * trial.folds
    unit_end = unit + trial.folds
    # Places of fewer windows were filled up by repetition.
    even = group.places[trial.place].num_even
    means = [average(
        part[begin:end, ..., :even, :], join_units(units[unit:unit_end]),
        group.members, part.shape[-1]) for part in outputs]
    sides = trial.sides
    outcomes.append(Outcome(
        [_gather(o, trial, sides.test_FxN, sides.tests_F)
         for o in means[:len(trial.tests)]],
        _gather(means[-1], trial, sides.valid_FxN, sides.valids_F)
        if group.validate else None))
    begin, unit = end, unit_end
  return outcomes


def divide_models(group: Group, trained: Any, units: list[TargetScale],
                  count: int) -> list[TrainedModels]:
  """The models of each of a group's first trials.

  Args:
    group: `Group`.
    trained: variables or `interface.Fitted`s of these trials, as they stand in
      `TrainedModels`, one trial after the other.
    units: (trial, fold), of these trials at least.
    count: of trials.
  """
  found, begin, unit = [], 0, 0
  for trial in group.trials[:count]:
    end, unit_end = begin + group.members * trial.folds, unit + trial.folds
    place = group.places[trial.place]
    assert isinstance(place, regions.Place)
    own = (trained[begin:end] if isinstance(trained, list) else
           jax.tree.map(lambda x, a=begin, b=end: x[a:b], trained))
    found.append(TrainedModels(
        group.classifier, place.spec, group.outputs, trial.folds,
        group.members, own, join_units(units[unit:unit_end])))
    begin, unit = end, unit_end
  return found


def _gather(outputs_FxNxExSxO: np.ndarray, trial: Trial,
            rows_FxN: np.ndarray, counts_F: np.ndarray) -> Decisions:
  """Every network's outputs, from the fold that it was held back from."""
  folds_T = np.repeat(np.arange(len(counts_F)), counts_F)
  rows_T = np.concatenate([r[:n] for r, n in zip(rows_FxN, counts_F)])
  outputs = np.concatenate(
      [x[:n] for x, n in zip(outputs_FxNxExSxO, counts_F)])
  order = np.argsort(rows_T, kind='stable')
  rows_T, folds_T = rows_T[order], folds_T[order]
  return Decisions(
      rows_T, folds_T, trial.values_FxM[folds_T, rows_T],
      outputs[order].reshape(len(rows_T), -1, outputs.shape[-1]))

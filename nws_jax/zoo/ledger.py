"""Writes the rounds of a unit, and commits them.

A round is part of the zoo once its snapshot and the trainer's state are durable
and the commit record names it. A run that is killed before that trains the
round again.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax.store import folder, schema, snapshots, stacks, tables
from nws_jax.zoo import families, plan, slots

Tree = TypeVar('Tree')  # a pytree of arrays
_FIGURES = ('train_loss', 'train_accuracy', 'valid_loss', 'valid_accuracy',
            'test_loss', 'test_accuracy')


@jax.jit
def _copy(tree: Any) -> Any:
  return jax.tree.map(jnp.copy, tree)


class Resumed(NamedTuple):
  """Where the training of a unit begins or resumes."""
  round: int  # the next one
  slots: slots.Slots  # of that round
  state: Any  # `train.State` of NumPy arrays, before that round


class Measured(NamedTuple):
  """Figures of M networks on all test images."""
  losses_M: np.ndarray
  accuracies_M: np.ndarray


class _Round(NamedTuple):
  """A round that is computed, but not written; see `Ledger.take`."""
  round: int
  ids_M: np.ndarray
  state: Any
  metrics: Any


class Ledger:
  """Writes the rounds of one unit; `take` is fast, `write` is slow.

  While the unit trains, every round is a snapshot. If not all are kept, those
  that are kept are written again at the end, the first one of every network
  as snapshot 1, and so on; the others are removed.
  """

  def __init__(self, workdir: str, unit: plan.Unit,
               rows: Sequence[folder.Row], epochs: int, keep: int) -> None:
    """Writes nothing yet.

    Args:
      workdir: the zoo's folder.
      unit: the unit.
      rows: the rows of its networks.
      epochs: of each network.
      keep: snapshots of each network that are kept; 0: all.
    """
    self._workdir, self._unit = workdir, unit
    self._epochs, self._keep = epochs, keep
    self._rows = {row['id']: row for row in rows}
    self._archs = {id: families.architecture(row)
                   for id, row in self._rows.items()}
    self._layouts = {id: families.layout(arch)
                     for id, arch in self._archs.items()}
    self._round = -1  # the last one that is written
    self._metrics: list[folder.Row] = []  # rows of metrics.csv
    self._digests: dict[int, list[str]] = {}  # {snapshot: digests, by id}
    # {network: (status, diverged_epoch)} of those that ended early.
    self._ends: dict[int, tuple[str, int | None]] = {}
    self._turns = {id: n for n, id in enumerate(unit.ids)}
    self._begun = 0  # how many of `unit.ids` have, or had, a slot
    self._taken: _Round | None = None
    self._writer = snapshots.Writer()
    self._writing = threading.Lock()
    self._seconds, self._clock = 0.0, time.monotonic()

  def resume(self, state: Any) -> Resumed:
    """Reads where the unit stands by its commit record.

    Args:
      state: `train.State` of NumPy arrays, which is filled in; the values of
        empty slots stay as they are.

    Raises:
      Damaged: the record or the state is not what was written.
    """
    unit = self._unit.name
    progress = folder.progress(self._workdir, unit)
    if progress is None:
      return Resumed(0, slots.begin(self._unit.width, self._unit.ids), state)
    members, metrics = folder.read_unit(self._workdir, unit)
    self._metrics = metrics.to_dict('records')
    self._round, self._digests = progress['round'], progress['digests']
    self._seconds = progress['seconds']
    self._begin(m['id'] for m in self._metrics)
    self._ends = {m['id']: (m['status'], m['diverged_epoch'])
                  for m in members.to_dict('records')
                  if m['status'] in ('stopped', 'diverged')}
    ids_M = np.asarray(progress['slots'], int)
    if len(ids_M) != self._unit.width:
      raise tables.damaged(
          folder.unit_path(self._workdir, unit, 'progress.json'),
          f'it has {len(ids_M)} slots, but plan.json has {self._unit.width}')
    busy = ids_M >= 0
    path = folder.state_path(self._workdir, unit, self._round)
    stored = snapshots.restore(path, jax.tree.map(lambda x: x[busy], state))
    written = progress['state']
    if written and written != snapshots.digest_leaves(stored):
      raise tables.damaged(path, 'it is not what was written (wrong digest)')
    jax.tree.map(lambda x, some: x.__setitem__(busy, some), state, stored)
    return Resumed(self._round + 1, self._turn(ids_M, state), state)

  @property
  def trained(self) -> int:
    """How many epochs of its networks were trained and written."""
    return sum(m['epoch'] > 0 for m in self._metrics)

  def take(self, round: int, ids_M: np.ndarray, state: Any, metrics: Any
           ) -> slots.Slots:
    """Waits until a round is computed, and keeps it for `write`.

    The next round may overwrite the state. So it is copied on the device, and
    `write` fetches the copy while that round runs.

    Args:
      round: the number of the round.
      ids_M: the networks in the slots; -1: empty.
      state: `train.State` after the round, on the device.
      metrics: `train.Metrics` of the round, on the device.

    Returns:
      The slots of the next round.
    """
    state, metrics = wait((state, metrics))
    state = _copy(state)
    self._taken = _Round(round, ids_M, state, metrics)
    return self._turn(ids_M, state)

  def write(self) -> None:
    """Writes and commits the round that was taken, if any; thread-safe."""
    with self._writing:
      if self._taken is not None:
        taken, self._taken = self._taken, None
        self._write(taken)

  def _write(self, taken: _Round) -> None:
    round, ids_M = taken.round, taken.ids_M
    state, metrics = jax.tree.map(np.asarray, (taken.state, taken.metrics))
    zoo, unit, number = self._workdir, self._unit, self._number(round)
    busy = ids_M >= 0
    at = np.flatnonzero(busy)[np.argsort(ids_M[busy])]  # busy slots, by id
    own = [state.vector_P[m][unit.place(self._archs[ids_M[m]])] for m in at]
    self._digests[number] = stacks.save(
        self._writer, folder.snapshot_path(zoo, unit.name, number), own,
        [self._layouts[id] for id in ids_M[at]])
    own_state = jax.tree.map(lambda x: x[busy], state)
    self._writer.save(folder.state_path(zoo, unit.name, round), own_state)
    for m in at:
      self._metrics.append({
          'id': int(ids_M[m]), 'epoch': int(state.epoch[m]),
          'step': int(state.step[m]), 'snapshot': number,
          **{name: float(x[m]) for name, x in zip(_FIGURES, metrics)}})
      if state.diverged[m] >= 0:
        self._ends[int(ids_M[m])] = 'diverged', int(state.diverged[m])
      elif state.stopped[m] >= 0:
        self._ends[int(ids_M[m])] = 'stopped', None
    self._writer.wait()
    self._round = round
    self._commit(False, ids_M.tolist(), snapshots.digest_leaves(own_state))
    if round:
      shutil.rmtree(folder.state_path(zoo, unit.name, round - 1),
                    ignore_errors=True)

  def finish(self, measure: Callable[
      [Sequence[int], Sequence[np.ndarray], Sequence[int]], Measured]) -> None:
    """Ends the unit, all of whose networks are finished.

    Args:
      measure: (ids, vectors, epochs) of at most as many networks as there are
        slots -> their figures on all test images.
    """
    last, stacked = {m['id']: m for m in self._metrics}, self._stack()
    ids, width = sorted(last), self._unit.width
    for n in range(0, len(ids), width):
      some = [last[id] for id in ids[n:n + width]]
      for m, loss, accuracy in zip(some, *measure(
          [m['id'] for m in some], self._read(some, stacked),
          [m['epoch'] for m in some])):
        m['test_loss'], m['test_accuracy'] = float(loss), float(accuracy)
    if self._keep:
      self._thin(stacked)
    self._commit(True, ())
    folder.sweep(self._workdir, self._unit.name)

  def _stack(self) -> dict[int, list[int]]:
    """Returns {snapshot: ids of its networks, ascending}."""
    stacked: dict[int, list[int]] = {}
    for m in self._metrics:
      stacked.setdefault(m['snapshot'], []).append(m['id'])
    return {number: sorted(ids) for number, ids in stacked.items()}

  def _thin(self, stacked: dict[int, list[int]]) -> None:
    """Writes the kept vectors as new snapshots; the metrics name only these."""
    series: dict[int, list[folder.Row]] = {}  # {network: its evaluations}
    kept: dict[int, list[folder.Row]] = {}  # {new snapshot: evaluations}
    digests: dict[int, list[str]] = {}
    for m in self._metrics:
      series.setdefault(m['id'], []).append(m)
    for id in sorted(series):
      picked = schema.pick(len(series[id]), self._keep)
      for number, n in enumerate(picked, 1):
        kept.setdefault(number, []).append(series[id][n])
    for number, some in kept.items():
      own = self._read(some, stacked)
      self._writer.wait()  # for the snapshot before, which was still written
      digests[number] = stacks.save(
          self._writer,
          folder.snapshot_path(self._workdir, self._unit.name, number), own,
          [self._layouts[m['id']] for m in some])
    self._writer.wait()
    numbers = {(m['id'], m['epoch']): number
               for number, some in kept.items() for m in some}
    for m in self._metrics:
      m['snapshot'] = numbers.get((m['id'], m['epoch']))
    self._digests = digests

  def _read(self, some: list[folder.Row], stacked: dict[int, list[int]]
            ) -> list[np.ndarray]:
    """Reads the vectors of evaluations, each of another network."""
    found: dict[int, np.ndarray] = {}
    for number in {m['snapshot'] for m in some}:
      ids = stacked[number]
      rows = [ids.index(m['id']) for m in some if m['snapshot'] == number]
      found.update(zip((ids[row] for row in rows), stacks.read(stacks.Stack(
          folder.snapshot_path(self._workdir, self._unit.name, number), ids,
          [self._layouts[id] for id in ids], self._digests[number]), rows)))
    return [found[m['id']] for m in some]

  def _number(self, round: int) -> int:
    """The number of a round's snapshot, above all numbers that `_thin` uses."""
    return round + self._keep + 1 if self._keep else round

  def _turn(self, ids_M: np.ndarray, state: Any) -> slots.Slots:
    """The slots of the round after `state`."""
    self._begin(ids_M[ids_M >= 0].tolist())
    stopped_M, diverged_M, epoch_M = map(
        np.asarray, (state.stopped, state.diverged, state.epoch))
    finished_M = ((stopped_M >= 0) | (diverged_M >= 0)
                  | (epoch_M >= self._epochs))
    return slots.turn(ids_M, finished_M, self._unit.ids[self._begun:])

  def _begin(self, ids: Iterable[int]) -> None:
    self._begun = max([self._begun] + [self._turns[id] + 1 for id in ids])

  def _commit(self, done: bool, ids_M: Sequence[int],
              state: dict[str, str] | None = None) -> None:
    """Commits the last round, with the digests of the leaves of its state."""
    now = time.monotonic()
    self._seconds, self._clock = self._seconds + now - self._clock, now
    folder.commit(self._workdir, self._unit.name, folder.Entry(
        self._round, done, self._members(done), self._metrics,
        self._layouts.values(), self._digests, ids_M, self._seconds,
        state or {}))

  def _members(self, done: bool) -> Iterator[folder.Row]:
    """Yields the unit's rows of members.csv."""
    last = {m['id']: m for m in self._metrics}
    for id in sorted(last):
      status, diverged = self._ends.get(
          id, ('finished' if done else 'running', None))
      yield {**self._rows[id], 'unit': self._unit.name, 'status': status,
             'evaluations': last[id]['epoch'] + 1,
             'last_step': last[id]['step'],
             'seconds': self._seconds / len(self._rows),
             'diverged_epoch': diverged,
             **{k: last[id][k] for k in _FIGURES if k.endswith('accuracy')}}


def wait(tree: Tree) -> Tree:
  """Returns a pytree of arrays once the device has computed them.

  It can be interrupted by a signal, unlike a copy to the host.
  """
  while not all(x.is_ready() for x in jax.tree.leaves(tree)):
    time.sleep(0.002)
  return tree

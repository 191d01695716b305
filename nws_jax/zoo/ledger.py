"""What a unit of networks writes: one round taken, the ones before committed.

A round counts once its snapshot and the trainer's state are durable and the
commit record names it; a run killed before that trains the round again.
"""

import shutil
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax.store import folder, schema, snapshots, stacks, tables
from nws_jax.zoo import families, slots

_FIGURES = ('train_loss', 'train_accuracy', 'valid_loss', 'valid_accuracy',
            'test_loss', 'test_accuracy')


@jax.jit
def _copy(tree):
  return jax.tree.map(jnp.copy, tree)


class Ledger:
  """Writes the rounds of one unit; `take` fast, `write` at leisure.

  While the unit trains, a round is a snapshot. At its end those of a network
  that are not kept go, and the kept ones are stacked anew: every network's
  first in snapshot 1, and so on.
  """

  def __init__(self, workdir, unit, rows, epochs, keep):
    """`rows`: of the unit's networks; `keep`: snapshots of each, 0 all."""
    self._workdir, self._unit = workdir, unit
    self._epochs, self._keep = epochs, keep
    self._rows = {row['id']: row for row in rows}
    self._archs = {id: families.architecture(row)
                   for id, row in self._rows.items()}
    self._layouts = {id: families.layout(arch)
                     for id, arch in self._archs.items()}
    self._round, self._metrics, self._digests, self._ends = -1, [], {}, {}
    self._turns = {id: n for n, id in enumerate(unit.ids)}
    self._begun = 0  # networks that have a slot or had one, the first ones
    self._taken, self._writer = None, snapshots.Writer()
    self._writing = threading.Lock()
    self._seconds, self._clock = 0.0, time.monotonic()

  def resume(self, state):
    """Where the unit stands: (its next round, `slots.Slots` of it, state).

    What its record does not name was swept away.

    Args:
      state: a blank one, NumPy; empty slots stay as they are in it.
    """
    unit = self._unit.name
    progress = folder.progress(self._workdir, unit)
    if progress is None:
      return 0, slots.begin(self._unit.width, self._unit.ids), state
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
          f'it has {len(ids_M)} slots, but plan.json {self._unit.width}')
    busy = ids_M >= 0
    path = folder.state_path(self._workdir, unit, self._round)
    stored = snapshots.restore(path, jax.tree.map(lambda x: x[busy], state))
    written = progress['state']
    if written and written != snapshots.digest_leaves(stored):
      raise tables.damaged(path, 'it is not what was written (wrong digest)')
    jax.tree.map(lambda x, some: x.__setitem__(busy, some), state, stored)
    return self._round + 1, self._turn(ids_M, state), state

  @property
  def trained(self):
    """Epochs of its networks that were trained and written."""
    return sum(m['epoch'] > 0 for m in self._metrics)

  def take(self, round, ids_M, state, metrics):
    """Waits for a round, copies it on the device; the next round's slots.

    The state itself is donated to the next round; its copy is fetched by
    `write`, while that round runs.
    """
    state, metrics = wait((state, metrics))
    state = _copy(state)
    self._taken = round, ids_M, state, metrics
    return self._turn(ids_M, state)

  def write(self):
    """Writes what was taken, and commits it once it is durable.

    Any thread may call it: a signal does (`interrupts`).
    """
    with self._writing:
      if self._taken is not None:
        self._write()

  def _write(self):
    (round, ids_M, *kept), self._taken = self._taken, None
    state, metrics = jax.tree.map(np.asarray, kept)
    zoo, unit, number = self._workdir, self._unit, self._number(round)
    busy = ids_M >= 0
    at = np.flatnonzero(busy)[np.argsort(ids_M[busy])]  # slots, by id
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
    self._commit(False, ids_M, snapshots.digest_leaves(own_state))
    if round:
      shutil.rmtree(folder.state_path(zoo, unit.name, round - 1),
                    ignore_errors=True)

  def finish(self, measure):
    """Ends the unit: test figures in full, and only the snapshots kept.

    Args:
      measure: (ids, vectors, epochs) of at most a width of networks -> (test
        losses, test accuracies).
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

  def _stack(self):
    """{snapshot: ids of its networks, ascending}."""
    stacked = {}
    for m in self._metrics:
      stacked.setdefault(m['snapshot'], []).append(m['id'])
    return {number: sorted(ids) for number, ids in stacked.items()}

  def _thin(self, stacked):
    """Stacks the kept snapshots anew; the metrics name those, and no others."""
    series, kept, digests = {}, {}, {}
    for m in self._metrics:
      series.setdefault(m['id'], []).append(m)
    for id in sorted(series):
      picked = schema.pick(len(series[id]), self._keep)
      for number, n in enumerate(picked, 1):
        kept.setdefault(number, []).append(series[id][n])
    for number, some in kept.items():
      own = self._read(some, stacked)
      self._writer.wait()  # for the one before, written meanwhile
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

  def _read(self, some, stacked):
    """The vectors that rows of the metrics name, their digests compared."""
    found = {}
    for number in {m['snapshot'] for m in some}:
      ids = stacked[number]
      rows = [ids.index(m['id']) for m in some if m['snapshot'] == number]
      found.update(zip((ids[row] for row in rows), stacks.read(stacks.Stack(
          folder.snapshot_path(self._workdir, self._unit.name, number), ids,
          [self._layouts[id] for id in ids], self._digests[number]), rows)))
    return [found[m['id']] for m in some]

  def _number(self, round):
    """Of a round's snapshot: behind those that will be kept."""
    return round + self._keep + 1 if self._keep else round

  def _turn(self, ids_M, state):
    self._begin(ids_M[ids_M >= 0].tolist())
    stopped_M, diverged_M, epoch_M = map(
        np.asarray, (state.stopped, state.diverged, state.epoch))
    finished_M = ((stopped_M >= 0) | (diverged_M >= 0)
                  | (epoch_M >= self._epochs))
    return slots.turn(ids_M, finished_M, self._unit.ids[self._begun:])

  def _begin(self, ids):
    self._begun = max([self._begun] + [self._turns[id] + 1 for id in ids])

  def _commit(self, done, ids_M, state=None):
    now = time.monotonic()
    self._seconds, self._clock = self._seconds + now - self._clock, now
    folder.commit(self._workdir, self._unit.name, folder.Entry(
        self._round, done, self._members(done), self._metrics,
        self._layouts.values(), self._digests, ids_M, self._seconds,
        state or {}))

  def _members(self, done):
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


def wait(tree):
  """Returns `tree` once the device has computed it.

  A signal interrupts this wait, as it cannot that of a copy.
  """
  while not all(x.is_ready() for x in jax.tree.leaves(tree)):
    time.sleep(0.002)
  return tree

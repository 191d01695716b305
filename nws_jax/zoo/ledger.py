"""What a unit of networks writes: one epoch taken, the ones before committed.

An epoch counts once its snapshot and the trainer's state are durable and the
commit record names it; a run killed before that trains the epoch again.
"""

import shutil
import time

import jax
import numpy as np

from nws_jax.store import folder, snapshots, vectors

_FIGURES = ('train_loss', 'train_accuracy', 'valid_loss', 'valid_accuracy',
            'test_loss', 'test_accuracy')


class Ledger:
  """Writes the epochs of one unit; `take` fast, `write` at leisure."""

  def __init__(self, workdir, unit, rows):
    self._workdir, self._unit, self._rows = workdir, unit, rows
    self._metrics, self._digests = [], {}
    self._taken, self._writer = None, snapshots.Writer()
    self._seconds, self._clock = 0.0, time.monotonic()

  def resume(self, state):
    """(last committed epoch, its state); (None, `state`) if there is none.

    The empty slots of `state` stay what they are.
    """
    unit = self._unit.name
    progress = folder.progress(self._workdir, unit)
    if progress is None:
      return None, state
    members, metrics = folder.read_unit(self._workdir, unit)
    self._metrics = metrics.to_dict('records')
    self._digests = progress['digests']
    self._seconds = members['seconds'].sum()
    stored = snapshots.restore(
        folder.state_path(self._workdir, unit, progress['epoch']),
        self._first(state))
    return progress['epoch'], jax.tree.map(
        lambda some, whole: np.concatenate([some, whole[len(some):]]),
        stored, jax.device_get(state))

  def take(self, epoch, state, metrics):
    """Waits for an epoch and copies it from the device.

    Returns:
      Whether any network is still to be trained.
    """
    state = self._first(state)
    self._taken = epoch, state, self._first(metrics)
    return bool(((state.stopped < 0) & (state.diverged < 0)).any())

  def finish(self, metrics):
    """Writes the epoch taken as the last, with test figures in full."""
    final = self._first(metrics)
    self.write({'test_loss': final.test_loss,
                'test_accuracy': final.test_accuracy})

  def write(self, final=None):
    """Writes what was taken and commits it once it is durable.

    Args:
      final: {figure: [M]} that replace those of each network's last
        evaluation; nothing follows.
    """
    if self._taken is None:
      return
    (epoch, state, metrics), self._taken = self._taken, None
    zoo, unit = self._workdir, self._unit.name
    self._writer.save(
        folder.snapshot_path(zoo, unit, epoch),
        vectors.to_variables(state.vector_P, self._unit.arch))
    self._writer.save(folder.state_path(zoo, unit, epoch), state)
    self._digests[epoch] = snapshots.digests(state.vector_P)
    self._metrics += self._figures(epoch, state, metrics)
    last = {m['id']: m for m in self._metrics}
    for name, values in (final or {}).items():
      for row, value in zip(self._rows, values):
        last[row['id']][name] = float(value)
    self._writer.wait()
    done = final is not None
    folder.commit(zoo, unit, epoch, done, self._members(state, last, done),
                  self._metrics, self._digests)
    for old in ([epoch] if done else []) + [epoch - 1] * (epoch > 0):
      shutil.rmtree(folder.state_path(zoo, unit, old), ignore_errors=True)

  def _first(self, tree):
    """Without the empty slots; copies, since the device's are donated."""
    return jax.tree.map(lambda x: np.array(x)[:len(self._rows)], tree)

  def _figures(self, epoch, state, metrics):
    """Rows of metrics.csv; none for a network that was stopped before."""
    return [
        {'id': row['id'], 'epoch': epoch, 'step': int(state.step[n]),
         'snapshot': epoch,
         **{name: float(m[n]) for name, m in zip(_FIGURES, metrics)}}
        for n, row in enumerate(self._rows)
        if not 0 <= state.stopped[n] < epoch]

  def _members(self, state, last, done):
    now = time.monotonic()
    self._seconds, self._clock = self._seconds + now - self._clock, now
    for n, row in enumerate(self._rows):
      figures, diverged = last[row['id']], int(state.diverged[n])
      status = ('diverged' if diverged >= 0 else
                'stopped' if state.stopped[n] >= 0 else
                'finished' if done else 'running')
      yield {**row, 'unit': self._unit.name, 'status': status,
             'evaluations': figures['epoch'] + 1, 'last_step': figures['step'],
             'seconds': self._seconds / len(self._rows),
             'diverged_epoch': None if diverged < 0 else diverged,
             **{k: figures[k] for k in _FIGURES if k.endswith('accuracy')}}

"""A zoo is read as of one moment while a run commits, thins and adds units."""

import dataclasses
import os
import shutil
import threading

import numpy as np
import pytest

import nws_jax
from nws_jax import errors, published
from nws_jax.store import (
  folder,
  moment,
  schema,
  snapshots,
  stacks,
  tables,
  whole,
)

ARCH = published.Architecture(3, 3, 1, 2, 4)
UNIT, EPOCHS, KEEP = 3, 4, 2  # networks of a unit, evaluations, kept of them
KEPT = {0: 1, EPOCHS - 1: 2}  # {epoch: its snapshot} once a unit has ended


def weights_of(id, epoch, mark=0):
  rng = np.random.default_rng([id, epoch, mark])
  return rng.normal(size=published.layout(ARCH).num_weights).astype(np.float32)


class Run:
  """Writes units as the trainer does, with other numbers."""

  def __init__(self, path, mark=0):
    self._path, self._mark, self._writer = str(path), mark, snapshots.Writer()
    os.makedirs(path, exist_ok=True)
    tables.write_json(os.path.join(path, 'config.json'), {'keep': KEEP})

  def ids(self, unit):
    return range(unit * UNIT, unit * UNIT + UNIT)

  def save(self, unit, number, epoch):
    own = [weights_of(id, epoch, self._mark) for id in self.ids(unit)]
    digests = stacks.save(
        self._writer, folder.snapshot_path(self._path, f'u{unit}', number), own,
        [published.layout(ARCH)] * UNIT)
    self._writer.wait()
    return digests

  def commit(self, unit, epochs, places, digests, done):
    words = {schema.WORD: 'word', schema.WHOLE: 0, schema.FLAG: True,
             schema.MAYBE: None, schema.REAL: 0.5}
    members = [
        {name: words[kind] for name, kind in schema.MEMBERS.items()}
        | dataclasses.asdict(ARCH) | {
            'id': id, 'unit': f'u{unit}', 'architecture': ARCH.name,
            'evaluations': epochs, 'seconds': float(epochs + done),
            'num_weights': published.layout(ARCH).num_weights}
        for id in self.ids(unit)]
    metrics = [{name: 0.5 for name in schema.METRICS} | {
        'id': id, 'epoch': epoch, 'step': epoch,
        'snapshot': places.get(epoch)}
        for epoch in range(epochs) for id in self.ids(unit)]
    folder.commit(self._path, f'u{unit}', folder.Entry(
        epochs - 1, done, members, metrics, [published.layout(ARCH)], digests))

  def train(self, unit, epochs=EPOCHS):
    digests = {}
    for epoch in range(epochs):
      number = KEEP + 1 + epoch
      digests[number] = self.save(unit, number, epoch)
      self.commit(unit, epoch + 1, {e: KEEP + 1 + e for e in range(epoch + 1)},
                  digests, False)

  def thin(self, unit):
    digests = {n: self.save(unit, n, epoch) for epoch, n in KEPT.items()}
    self.commit(unit, EPOCHS, KEPT, digests, True)
    folder.sweep(self._path, f'u{unit}')


def check_all(zoo):
  """Every weight that an open zoo names is there, or was removed since."""
  assert set(zoo.metrics['id']) == set(zoo.members['id'])
  read = 0
  for id in zoo.members['id']:
    assert zoo.epochs(id)
    for epoch in zoo.epochs(id):
      window = zoo.vectors([id], [epoch], 5, 50)[0, 0]
      np.testing.assert_array_equal(window, weights_of(id, epoch)[5:50])
      np.testing.assert_array_equal(
          zoo.vector(id, epoch), weights_of(id, epoch))
      read += 1
  return read


def test_an_open_zoo_stays_as_it_was(tmp_path):
  """Its tables and digest are of one commit, whatever is looked at first."""
  run = Run(tmp_path)
  run.train(0)
  run.thin(0)
  whole.rebuild(tmp_path)
  zoo = nws_jax.open_zoo(tmp_path)
  members, digest = zoo.members, zoo.digest
  run.train(1)
  run.thin(1)
  whole.rebuild(tmp_path)
  assert len(zoo.members) == len(members) == UNIT
  assert set(zoo.metrics['id']) == set(members['id'])
  assert zoo.digest == digest != nws_jax.open_zoo(tmp_path).digest
  assert check_all(zoo) == 2 * UNIT and zoo.verify() == 2 * UNIT
  with pytest.raises(errors.Wrong, match='no network 3 in .*it has 3'):
    zoo.vector(3, 0)
  assert check_all(nws_jax.open_zoo(tmp_path)) == 4 * UNIT


def test_weights_that_a_run_moved_are_found_and_removed_ones_named(tmp_path):
  run = Run(tmp_path)
  run.train(0)
  whole.rebuild(tmp_path)
  zoo = nws_jax.open_zoo(tmp_path)
  assert check_all(zoo) == EPOCHS * UNIT
  run.thin(0)
  assert zoo.epochs(1) == (0, 1, 2, 3)
  for stop in (None, 40):
    found = zoo.vectors([2, 0], [3, 0], 0, stop)
    for i, id in enumerate((2, 0)):
      for e, epoch in enumerate((3, 0)):
        np.testing.assert_array_equal(
            found[i, e], weights_of(id, epoch)[:stop])
    with pytest.raises(errors.Wrong, match='network 1 after epoch 2 were remove'
                                           'd since .* opened.*open the zoo a'):
      zoo.vectors([1, 0], [0, 2], 0, stop)
  # The tables on top are older than the unit, and not used.
  assert nws_jax.open_zoo(tmp_path).epochs(1) == (0, 3)
  assert check_all(nws_jax.open_zoo(tmp_path)) == 2 * UNIT


def test_a_unit_that_began_anew_is_named(tmp_path):
  Run(tmp_path).train(0)
  whole.rebuild(tmp_path)
  zoo = nws_jax.open_zoo(tmp_path)
  folder.forget(tmp_path, 'u0')
  with pytest.raises(errors.Wrong, match='1 after epoch 0 were removed since'):
    zoo.vector(1, 0)
  Run(tmp_path, mark=1).train(0)
  with pytest.raises(errors.Wrong, match='network 1 after epoch 0 were trained '
                                         'anew since'):
    zoo.vector(1, 0)


def test_damage_is_damage_though_a_run_goes_on(tmp_path):
  run = Run(tmp_path)
  run.train(0, epochs=3)
  whole.rebuild(tmp_path)
  zoo = nws_jax.open_zoo(tmp_path)
  shutil.rmtree(tmp_path / 'snapshots' / 'u0' / str(KEEP + 1))
  run.train(1)
  with pytest.raises(errors.Damaged, match='u0/3 is damaged: it is not there'):
    zoo.vector(0, 0)


def test_a_window_of_another_units_networks_is_damage(tmp_path):
  """Both have the same architecture, epochs and rows."""
  run = Run(tmp_path)
  for unit in range(2):
    run.train(unit)
    run.thin(unit)
  whole.rebuild(tmp_path)
  a, b, aside = (tmp_path / 'snapshots' / n for n in ('u0', 'u1', 'aside'))
  for old, new in ((a, aside), (b, a), (aside, b)):
    old.rename(new)
  zoo = nws_jax.open_zoo(tmp_path)
  for window in ((5, 50), ()):
    with pytest.raises(errors.Damaged, match='u1/1 is damaged: the weights of n'
                                             'etwork 4 are not those'):
      zoo.vectors([4], [0], *window)


@pytest.mark.parametrize('name', schema.COLUMNS)
def test_a_table_is_never_of_another_moment(tmp_path, name):
  """A writer is stopped behind each file; a later one finds it so."""
  run = Run(tmp_path)
  run.train(0)
  run.thin(0)
  whole.rebuild(tmp_path)
  before = moment.read(tmp_path)
  run.train(1)
  after = whole.gather(tmp_path)
  tables.write_text(tmp_path / name, after.texts[name])
  found = moment.read(tmp_path)
  assert found.texts in (before.texts, after.texts)
  assert (found.checksums == after.checksums) == (found.texts == after.texts)
  assert found.records.keys() == found.checksums['snapshots'].keys()
  check_all(nws_jax.open_zoo(tmp_path))


def test_readers_meet_no_error_while_a_run_writes(tmp_path):
  """One thread trains, thins and adds units; others open and read."""
  run, failed, reads = Run(tmp_path), [], []
  run.train(0)
  whole.rebuild(tmp_path)
  ended = threading.Event()

  def write():
    try:
      run.thin(0)
      for unit in range(1, 4):
        run.train(unit)
        whole.rebuild(tmp_path)
        run.thin(unit)
        whole.rebuild(tmp_path)
    except BaseException as e:
      failed.append(e)
    ended.set()

  def read():
    try:
      while not ended.is_set():
        zoo = nws_jax.open_zoo(tmp_path)
        try:
          reads.append(check_all(zoo))
        except errors.Wrong as e:
          assert 'open the zoo again' in str(e)
    except BaseException as e:
      failed.append(e)

  threads = [threading.Thread(target=f) for f in (write, read, read)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  if failed:
    raise failed[0]
  assert len(reads) > 5
  assert check_all(nws_jax.open_zoo(tmp_path)) == 2 * 4 * UNIT

"""Runs a plan: units -> rounds -> store; resumes at the last committed round.

The device never waits for the disk or the compiler: while a round is trained,
the one before is written, made durable and committed; while a unit is trained,
the program of the next one is compiled.
"""

import contextlib
import os
import shutil
import time
from typing import NamedTuple

import numpy as np

from nws_jax import errors, interrupts, paths
from nws_jax.store import folder, tables, whole
from nws_jax.zoo import (
  coverage,
  families,
  images,
  opening,
  plan,
  price,
  provenance,
  room,
  runtime,
)
from nws_jax.zoo import quote as quotes
from nws_jax.zoo import recipe as recipes


def run(recipe, workdir, bar):
  """Trains what a population still lacks.

  Args:
    recipe: `recipe.Recipe`.
    workdir: the zoo's folder; made, or gone on with.
    bar: `progress.Bar`.

  Returns:
    Whether there was anything to do.

  Raises:
    errors.Wrong: the request cannot be met; nothing was changed.
    errors.Damaged: what is there is damaged, or it could not be saved.
  """
  with _open(workdir, recipe, folder.lock, measured=True) as asked:
    made, left = asked.made, asked.left
    room.check(workdir, recipe, asked.rows, asked.images_each, asked.machine,
               left)
    for note in asked.notes:
      bar.say(note)
    opening.settle(workdir, recipe, asked.sets, made, left)
    tables.keep_text(os.path.join(workdir, 'coverage.csv'),
                     coverage.to_csv(asked.rows))
    for unit in made.units:
      folder.complete(workdir, unit.name, map(families.layout, unit.archs))
    _sweep(workdir, made)
    while left:
      try:
        _train(workdir, recipe, made, left, asked.rows, asked.sets, bar)
        break
      except OutOfMemory as e:
        made = _halve(workdir, made, e.unit, bar)
        left = opening.list_left(workdir, made)
    whole.rebuild(workdir)
    shutil.rmtree(os.path.join(workdir, 'state'), ignore_errors=True)
  return bool(left)


def _sweep(workdir, made):
  """Removes what killed runs left and no record names; all records agree."""
  if os.path.exists(os.path.join(workdir, 'checksums.json')):
    whole.rebuild(workdir)  # those may still name what has been thinned since
  for path in (workdir, os.path.join(workdir, 'units')):
    tables.sweep(path)
  for unit in made.units:
    folder.sweep(workdir, unit.name)


class _Asked(NamedTuple):
  """What a request asks for, and what of it is left to train."""
  sets: dict  # {name: `images.ImageSet`}
  images_each: dict  # {name: images of an epoch}
  rows: list
  made: plan.Plan
  machine: price.Machine
  left: list  # units
  notes: list  # what is otherwise here than where the zoo was begun


@contextlib.contextmanager
def _open(workdir, recipe, hold, measured=False):
  """Yields the `_Asked` of a request that is possible; writes nothing.

  Args:
    workdir: the zoo's folder, which may not be there.
    recipe: `recipe.Recipe`.
    hold: of the folder, the context in which it is looked at.
    measured: whether widths may be chosen by running something.
  """
  paths.check_saving(workdir, '--workdir')
  choices = dict(recipe.choices)
  sets = {name: images.load(name, recipe.dataset_source,
                            recipe.data_dir or None)
          for name in choices['dataset']}
  images_each = {name: images.an_epoch(s) for name, s in sets.items()}
  opening.check_sizes(choices['batch_size'], images_each)
  opening.check_free(workdir)
  with hold(workdir):
    opening.check_config(workdir, recipe, sets)
    rows = recipes.rows(recipe)
    made, machine = opening.make_plan(
        workdir, recipe, rows, images_each, measured)
    opening.check_agreement(workdir, made)
    left = opening.list_left(workdir, made)
    yield _Asked(sets, images_each, rows, made, machine, left,
                 provenance.check(workdir, opening.read_config(workdir), left))


class OutOfMemory(Exception):
  """A device has no room for a unit's program."""

  def __init__(self, unit):
    super().__init__(unit.name)
    self.unit = unit


def _halve(workdir, made, unit, bar):
  """Goes on with half of the slots; the unit begins anew."""
  halved = plan.halve(made, unit, [
      u.name for u in made.units
      if u.name != unit.name and folder.progress(workdir, u.name)])
  if halved == made:
    raise errors.Damaged(
        f'{unit.name} does not fit the memory of the device, even with '
        f'{unit.width} networks at once. Restrict --config.batch_size or the '
        'sizes of the networks, in another --workdir.')
  bar.say(f'{unit.name}: no memory for {unit.width} networks at once; going '
          'on with half of them')
  if os.path.exists(os.path.join(workdir, 'checksums.json')):
    whole.rebuild(workdir, without=unit.name)
  folder.forget(workdir, unit.name)
  opening.save_plan(workdir, halved)
  return halved


def quote(recipe, workdir):
  """What `run` would do, as text; nothing is written or compiled.

  Raises:
    errors.Wrong: it cannot be done.
  """
  with _open(workdir, recipe, contextlib.nullcontext) as asked:
    disk = runtime.find_disk(workdir, recipe.disk_gb)
    said = '\n\n'.join([coverage.text(asked.rows), quotes.text(
        recipe, asked.rows, asked.left, asked.machine, asked.images_each,
        disk)])
    try:
      room.check(workdir, recipe, asked.rows, asked.images_each,
                 asked.machine, asked.left)
    except errors.Wrong as e:
      return said, e
  return said, None


def _train(workdir, recipe, made, left, rows, sets, bar):
  import jax

  from nws_jax.zoo import ahead, dataset, inputs, ledger, population
  done = recipe.epochs * sum(
      len(u.ids) for u in made.units if u not in left)
  for unit in left:
    if folder.progress(workdir, unit.name):
      done += int((folder.read_unit(workdir, unit.name)[1]['epoch'] > 0).sum())
  bar.start(len(rows), recipe.epochs, done)
  data = dataset.pack(sets.values(), recipe.test_part)
  stage = population.set_stage(data, recipe.seed, made.form)

  def key(unit):
    return inputs.static_of(recipe, unit, made.form), unit.width

  def build(key):
    static, width = key
    return population.build(static, stage, inputs.networks(
        recipe, rows[:1], width, static.arch))

  tables_on_top = _Rebuilder(workdir)
  with ahead.Ahead(build, _count_ahead(recipe, made)) as programs:
    keys = [key(unit) for unit in left]
    for n, unit in enumerate(left):
      bar.note(unit.name)
      book = ledger.Ledger(workdir, unit, [rows[id] for id in unit.ids],
                           recipe.epochs, recipe.keep)
      try:
        program = programs.get(keys[n], keys[n + 1:])
        with interrupts.saving(book.write):
          _train_unit(book, program, stage, recipe, unit, rows, data, bar)
      except jax.errors.JaxRuntimeError as e:
        if 'RESOURCE_EXHAUSTED' not in str(e):
          raise
        raise OutOfMemory(unit) from e
      tables_on_top.rebuild()


def _count_ahead(recipe, made):
  """Programs that are compiled beside the one that trains."""
  if not recipe.compile_ahead:
    return 0
  # An accelerator leaves the processor to the compiler.
  return 1 if made.platform == 'cpu' else max(1, min(4, os.cpu_count() // 4))


class _Rebuilder:
  """Writes the tables on top, but takes no more than 2 % of the time: they grow
  with every unit."""

  def __init__(self, workdir):
    self._workdir, self._next = workdir, 0.0

  def rebuild(self):
    begin = time.monotonic()
    if begin >= self._next:
      whole.rebuild(self._workdir)
      took = time.monotonic() - begin
      self._next = begin + 50 * took


def _train_unit(ledger, program, stage, recipe, unit, rows, data, bar):
  """Trains one unit from where it stands to the end of its last network."""
  from nws_jax.zoo import inputs
  round, turned, state = ledger.resume(program.blank())
  state, before = stage.place(state), None
  while (turned.ids_M >= 0).any():
    ids_M, fresh_M = turned
    if not np.array_equal(ids_M, before):
      networks_M = inputs.networks(
          recipe, [rows[id] if id >= 0 else None for id in ids_M], unit.width,
          unit.arch)
      placed, before = stage.place(networks_M), ids_M
    if fresh_M.any():
      state = program.reset(placed, state, stage.place(fresh_M))
    state, metrics = program.epoch(placed, state)
    try:
      ledger.write()  # while the device trains
      turned = ledger.take(round, ids_M, state, metrics)
    except KeyboardInterrupt:
      ledger.write()
      raise
    trained_M = networks_M.active & ~fresh_M
    if trained_M.any():
      bar.advance(int(trained_M.sum()), unit.batch_size * int(_count_steps(
          data, networks_M.dataset[trained_M], unit.batch_size).sum()))
    round += 1
  ledger.write()
  ledger.finish(lambda ids, own, epochs: _measure(
      program, stage, recipe, unit, rows, ids, own, epochs))
  bar.skip(len(unit.ids) * recipe.epochs - ledger.trained)  # stopped early


def _count_steps(data, dataset_M, batch_size):
  from nws_jax.zoo import dataset
  return dataset.count_steps(data.a_class_S[dataset_M], batch_size)


def _measure(program, stage, recipe, unit, rows, ids, own, epochs):
  """(test losses, test accuracies) in full, of some weights [n vectors]."""
  from nws_jax.zoo import inputs, ledger
  state = program.blank()
  state.stopped[:] = 0  # frozen: it is evaluated and no more
  for m, (id, vector_P, epoch) in enumerate(zip(ids, own, epochs)):
    state.vector_P[m, unit.place(families.architecture(rows[id]))] = vector_P
    state.epoch[m] = epoch
  metrics = ledger.wait(program.epoch(*stage.place((
      inputs.networks(recipe, [rows[id] for id in ids], unit.width, unit.arch),
      state)), full=True)[1])
  return np.asarray(metrics.test_loss), np.asarray(metrics.test_accuracy)

"""Trains the units of a plan, and resumes after the last committed round.

The device never waits for the disk or the compiler. While it trains a round,
the round before is written and committed; while it trains a unit, the program
of the next unit is compiled.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from nws_jax import errors, interrupts, paths
from nws_jax.store import folder, tables, whole
from nws_jax.zoo import (
  coverage,
  families,
  images,
  opening,
  plan,
  price,
  progress,
  provenance,
  room,
  runtime,
)
from nws_jax.zoo import quote as quotes
from nws_jax.zoo import recipe as recipes


def run(recipe: recipes.Recipe, workdir: str, bar: progress.Bar) -> bool:
  """Trains the networks of a population that are not trained yet.

  Args:
    recipe: the population.
    workdir: the zoo's folder; created, or resumed.
    bar: shows the progress.

  Returns:
    Whether there was anything to train.

  Raises:
    Wrong: the request cannot be met; nothing was changed.
    Damaged: the zoo is damaged, or could not be saved.
  """
  with _open(workdir, recipe, folder.lock, measured=True) as request:
    made, left = request.made, request.left
    room.check(workdir, recipe, request.rows, request.images_each,
               request.machine, left)
    for note in request.notes:
      bar.say(note)
    opening.settle(workdir, recipe, request.sets, made, left)
    tables.keep_text(os.path.join(workdir, 'coverage.csv'),
                     coverage.to_csv(request.rows))
    for unit in made.units:
      folder.complete(workdir, unit.name, map(families.layout, unit.archs))
    _sweep(workdir, made)
    while left:
      try:
        _train(workdir, recipe, request._replace(made=made, left=left), bar)
        break
      except OutOfMemory as e:
        made = _halve(workdir, made, e.unit, bar)
        left = opening.list_left(workdir, made)
    whole.rebuild(workdir)
    shutil.rmtree(os.path.join(workdir, 'state'), ignore_errors=True)
  return bool(left)


def _sweep(workdir: str, made: plan.Plan) -> None:
  """Removes files that killed runs left behind and that no record names."""
  if os.path.exists(os.path.join(workdir, 'checksums.json')):
    whole.rebuild(workdir)  # it may still name snapshots that are removed now
  for path in (workdir, os.path.join(workdir, 'units')):
    tables.sweep(path)
  for unit in made.units:
    folder.sweep(workdir, unit.name)


class _Request(NamedTuple):
  """A population, and what of it is left to train."""
  sets: dict[str, images.ImageSet]
  images_each: dict[str, int]  # {image set: images in an epoch}
  rows: list[dict[str, Any]]  # of `recipe.rows`
  made: plan.Plan
  machine: price.Machine
  left: list[plan.Unit]
  notes: list[str]  # how this environment differs from the zoo's


@contextlib.contextmanager
def _open(workdir: str, recipe: recipes.Recipe,
          hold: Callable[[str], contextlib.AbstractContextManager[None]],
          measured: bool = False) -> Iterator[_Request]:
  """Checks a request and yields it; writes nothing.

  Args:
    workdir: the zoo's folder, which need not exist.
    recipe: the population.
    hold: returns the context in which the folder is read.
    measured: whether a measurement on the device may choose the widths.

  Raises:
    Wrong: the request cannot be met.
    Damaged: the zoo is damaged.
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
    yield _Request(
        sets, images_each, rows, made, machine, left,
        provenance.check(workdir, opening.read_config(workdir), left))


class OutOfMemory(Exception):
  """A device has not enough memory for a unit's program."""

  def __init__(self, unit: plan.Unit) -> None:
    super().__init__(unit.name)
    self.unit = unit


def _halve(workdir: str, made: plan.Plan, unit: plan.Unit, bar: progress.Bar
           ) -> plan.Plan:
  """Plans a unit with half as many slots, and starts it from the beginning.

  Returns:
    The new plan.

  Raises:
    Damaged: the unit has too few slots to halve.
  """
  halved = plan.halve(made, unit, [
      u.name for u in made.units
      if u.name != unit.name and folder.progress(workdir, u.name)])
  if halved == made:
    raise errors.Damaged(
        f'{unit.name} does not fit the memory of the device, even with '
        f'{unit.width} networks at once. Restrict --config.batch_size or the '
        'sizes of the networks, in another --workdir.')
  bar.say(f'{unit.name}: no memory for {unit.width} networks at once; '
          'continuing with half of them')
  if os.path.exists(os.path.join(workdir, 'checksums.json')):
    whole.rebuild(workdir, without=unit.name)
  folder.forget(workdir, unit.name)
  opening.save_plan(workdir, halved)
  return halved


class Quote(NamedTuple):
  """What `run` would do."""
  text: str
  refusal: errors.Wrong | None  # why it would refuse, if it would


def quote(recipe: recipes.Recipe, workdir: str) -> Quote:
  """Describes what `run` would do; nothing is written or compiled.

  Raises:
    Wrong: the request cannot be met, for another reason than a full disk.
  """
  with _open(workdir, recipe, lambda _: contextlib.nullcontext()) as request:
    disk = runtime.find_disk(workdir, recipe.disk_gb)
    text = '\n\n'.join([coverage.text(request.rows), quotes.text(
        recipe, request.rows, request.left, request.machine,
        request.images_each, disk)])
    try:
      room.check(workdir, recipe, request.rows, request.images_each,
                 request.machine, request.left)
    except errors.Wrong as e:
      return Quote(text, e)
  return Quote(text, None)


def _train(workdir: str, recipe: recipes.Recipe, request: _Request,
           bar: progress.Bar) -> None:
  """Trains all units that are left."""
  import jax

  from nws_jax.zoo import ahead, dataset, inputs, ledger, population, rounds
  made, left, rows = request.made, request.left, request.rows
  done = recipe.epochs * sum(
      len(u.ids) for u in made.units if u not in left)
  for unit in left:
    if folder.progress(workdir, unit.name):
      done += int((folder.read_unit(workdir, unit.name)[1]['epoch'] > 0).sum())
  bar.start(len(rows), recipe.epochs, done)
  data = dataset.pack(request.sets.values(), recipe.test_part)
  stage = population.set_stage(data, recipe.seed, made.form)

  def key(unit: plan.Unit) -> tuple[Any, int]:
    return inputs.static_of(recipe, unit, made.form), unit.width

  def build(key: tuple[Any, int]) -> population.Program:
    static, width = key
    return population.build(static, stage, inputs.networks(
        recipe, rows[:1], width, static.arch))

  zoo_tables = _Rebuilder(workdir)
  with ahead.Ahead(build, _count_ahead(recipe, made)) as programs:
    keys = [key(unit) for unit in left]
    for n, unit in enumerate(left):
      bar.note(unit.name)
      book = ledger.Ledger(workdir, unit, [rows[id] for id in unit.ids],
                           recipe.epochs, recipe.keep)
      try:
        program = programs.get(keys[n], keys[n + 1:])
        with interrupts.saving(book.write):
          rounds.train(
              rounds.Job(recipe, rows, data, stage, unit, program), book, bar)
      except jax.errors.JaxRuntimeError as e:
        if 'RESOURCE_EXHAUSTED' not in str(e):
          raise
        raise OutOfMemory(unit) from e
      zoo_tables.rebuild()


def _count_ahead(recipe: recipes.Recipe, made: plan.Plan) -> int:
  """Counts the programs to compile while another one trains."""
  if not recipe.compile_ahead:
    return 0
  if made.platform == 'cpu':
    return 1
  # While an accelerator trains, the processor is free for the compiler.
  return max(1, min(4, (os.cpu_count() or 1) // 4))


class _Rebuilder:
  """Rebuilds the tables of the whole zoo from those of its units.

  The tables grow with every unit, so a call is skipped if rebuilding would take
  more than 2 % of the time.
  """

  def __init__(self, workdir: str) -> None:
    self._workdir, self._next = workdir, 0.0

  def rebuild(self) -> None:
    begin = time.monotonic()
    if begin >= self._next:
      whole.rebuild(self._workdir)
      took = time.monotonic() - begin
      self._next = begin + 50 * took

"""Runs a plan: units -> rounds -> store; resumes at the last committed round.

The device never waits for the disk or the compiler: while a round is trained,
the one before is written, made durable and committed; while a unit is trained,
the program of the next one is compiled.
"""

import dataclasses
import os
import shutil

import numpy as np

from nws_jax import space
from nws_jax.store import folder, tables, vectors
from nws_jax.zoo import coverage, images, opening, plan
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
  sets = load_sets(recipe)
  opening.check_free(workdir)
  with folder.lock(workdir):
    opening.check_config(workdir, recipe, sets)
    rows = recipes.rows(recipe)
    made = opening.settle_plan(workdir, recipe, rows, sets)
    opening.settle_config(workdir, recipe, sets)
    tables.write_text(os.path.join(workdir, 'coverage.csv'),
                      coverage.to_csv(rows))
    worked = _train(workdir, recipe, made, rows, sets, bar)
    folder.rebuild(workdir)
    shutil.rmtree(os.path.join(workdir, 'state'), ignore_errors=True)
  return worked


def load_sets(recipe):
  """{name: `images.ImageSet`} that a recipe asks for, checked."""
  choices = dict(recipe.choices)
  sets = {name: images.load(name, recipe.dataset_source,
                            recipe.data_dir or None)
          for name in choices['dataset']}
  opening.check_sizes(choices['batch_size'], {
      name: images.an_epoch(s) for name, s in sets.items()})
  return sets


def _train(workdir, recipe, made, rows, sets, bar):
  from nws_jax.zoo import ahead, dataset, ledger, population
  left, done = [], 0
  for unit in made.units:
    progress = folder.progress(workdir, unit.name)
    if progress and progress['done']:
      folder.sweep(workdir, unit.name)  # what a killed run left
      done += len(unit.ids) * recipe.epochs
    else:
      left.append(unit)
      if progress:
        done += int((folder.read_unit(workdir, unit.name)[1]['epoch'] > 0)
                    .sum())
  if not left:
    return False
  bar.start(len(rows), recipe.epochs, done)
  stage = population.set_stage(
      dataset.pack(sets.values(), recipe.test_part), recipe.seed, made.form)

  def build(key):
    static, width = key
    return population.build(static, stage, networks(
        recipe, rows[:1], width, static.arch))

  with ahead.Ahead(build, recipe.compile_ahead) as programs:
    for unit, following in zip(left, left[1:] + [None]):
      bar.note(unit.name)
      mine = [rows[id] for id in unit.ids]
      _train_unit(
          ledger.Ledger(workdir, unit, mine, recipe.epochs, recipe.keep),
          programs.get(_key(recipe, unit), following and _key(
              recipe, following)), stage, recipe, unit, rows, bar)
      folder.rebuild(workdir)
  return True


def _key(recipe, unit):
  return static_of(recipe, unit), unit.width


def _train_unit(ledger, program, stage, recipe, unit, rows, bar):
  """Trains one unit from where it stands to the end of its last network."""
  round, turned, state = ledger.resume(program.blank)
  state, trained = stage.place(state), 0
  while (turned.ids_M >= 0).any():
    ids_M = turned.ids_M
    networks_M = stage.place(networks(
        recipe, [rows[id] if id >= 0 else None for id in ids_M], unit.width,
        unit.arch))
    if turned.fresh_M.any():
      state = program.reset(networks_M, state, stage.place(turned.fresh_M))
    state, metrics = program.epoch(networks_M, state)
    try:
      ledger.write()  # while the device trains
      fresh_M, turned = turned.fresh_M, ledger.take(
          round, ids_M, state, metrics)
    except KeyboardInterrupt:
      ledger.write()
      raise
    at_work = ids_M[(ids_M >= 0) & ~fresh_M]
    if len(at_work):
      bar.advance(len(at_work), stage.count_images(
          networks_M, unit.batch_size, ids_M >= 0 & ~fresh_M))
    trained, round = trained + len(at_work), round + 1
  ledger.write()
  ledger.finish(lambda ids, own, epochs: _measure(
      program, stage, recipe, unit, rows, ids, own, epochs))


def _measure(program, stage, recipe, unit, rows, ids, own, epochs):
  """(test losses, test accuracies) in full, of some weights [n vectors]."""
  vector_MxP = np.zeros_like(program.blank.vector_P)
  for m, (id, vector_P) in enumerate(zip(ids, own)):
    arch = space.architecture(rows[id])
    vector_MxP[m, slice(None) if arch == unit.arch else vectors.places(
        arch, unit.arch)] = vector_P
  epochs_M = np.zeros(unit.width, np.int32)
  epochs_M[:len(ids)] = epochs
  return program.measure(*stage.place((
      networks(recipe, [rows[id] for id in ids], unit.width, unit.arch),
      vector_MxP, epochs_M)))


def static_of(recipe, unit):
  """What the program of a unit is compiled for: `train.Static`."""
  from nws_jax.zoo import train
  return train.Static(
      arch=unit.arch, batch_size=unit.batch_size, lr_decay=recipe.lr_decay,
      eval_bn=recipe.eval_bn, eval_augmentation=recipe.eval_augmentation,
      eval_batch=train.EVAL_BATCH, patience=recipe.early_stopping,
      activations=dict(recipe.choices)['activation'], dtype=recipe.precision)


def networks(recipe, rows, width, arch):
  """`train.Network` of NumPy arrays [M] for some rows; the rest is empty.

  Args:
    recipe: `recipe.Recipe`.
    rows: of `recipe.rows`; None is an empty slot.
    width: M.
    arch: the program's.
  """
  from nws_jax.zoo import train
  choices = dict(recipe.choices)
  rows = list(rows) + [None] * (width - len(rows))
  active = np.asarray([row is not None for row in rows])
  some = next(row for row in rows if row is not None)
  rows = [row or some for row in rows]

  def column(name, options=None, dtype=np.int32):
    return np.asarray([options.index(r[name]) if options else r[name]
                       for r in rows], dtype)

  sizes = None
  if isinstance(arch, vectors.Envelope):
    sizes = vectors.Sizes(*map(np.stack, zip(*(
        vectors.sizes(space.architecture(r), arch) for r in rows))))
  return train.Network(
      id=column('id'),
      dataset=column('dataset', choices['dataset']),
      learning_rate=column('learning_rate', dtype=np.float32),
      weight_decay=column('weight_decay', dtype=np.float32),
      dropout=column('dropout', dtype=np.float32),
      augmentation=column('augmentation', dtype=bool),
      optimizer=column('optimizer', space.OPTIMIZERS),
      activation=column('activation', choices['activation']),
      initialization=column('initialization', space.INITIALIZATIONS),
      active=active, sizes=sizes)

"""Runs a plan: units -> epochs -> store; resumes at the last committed epoch.

The device never waits for the disk: while epoch e + 1 is trained, epoch e is
written, made durable, and only then committed.
"""

import os
import shutil

import numpy as np

from nws_jax import space
from nws_jax.store import folder
from nws_jax.zoo import images, opening
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
  choices = dict(recipe.choices)
  sets = {name: images.load(name, recipe.dataset_source,
                            recipe.data_dir or None)
          for name in choices['dataset']}
  opening.check_sizes(choices['batch_size'], {
      name: images.an_epoch(s) for name, s in sets.items()})
  opening.check_free(workdir)
  with folder.lock(workdir):
    opening.settle_config(workdir, recipe, sets)
    rows = recipes.rows(recipe)
    plan = opening.settle_plan(workdir, recipe, rows)
    worked = _train(workdir, recipe, plan, rows, sets, bar)
    folder.rebuild(workdir)
    shutil.rmtree(os.path.join(workdir, 'state'), ignore_errors=True)
  return worked


def _train(workdir, recipe, plan, rows, sets, bar):
  from nws_jax.zoo import ledger, population, train
  progress = {u.name: folder.progress(workdir, u.name) for u in plan.units}
  left = [u for u in plan.units
          if not (progress[u.name] or {'done': False})['done']]
  if not left:
    return False
  bar.start(len(rows), recipe.epochs, sum(
      len(u.ids) * p['epoch'] for u in plan.units if (p := progress[u.name])))
  data = train.pack(sets.values(), recipe.test_part)
  programs = {}
  for unit in left:
    static = static_of(recipe, unit)
    if static not in programs:
      programs = {static: population.build(
          static, data, recipe.seed, plan.form)}
    bar.note(unit.name)
    mine = [rows[i] for i in unit.ids]
    _train_unit(ledger.Ledger(workdir, unit, mine),
                programs[static], networks(mine, list(sets), unit.width),
                recipe.epochs, bar)
    folder.rebuild(workdir)
  return True


def _train_unit(ledger, program, networks_M, epochs, bar):
  """Trains one unit from where it stands to its last epoch."""
  active = networks_M.active
  networks_M = program.place(networks_M)
  state = program.init(networks_M)
  epoch, state = ledger.resume(state)
  state = program.place(state)
  if epoch is None:
    epoch = 0
    state, metrics = program.measure(networks_M, state, False)
    ledger.take(epoch, state, metrics)
  running = True
  while running:
    epoch += 1
    state, metrics = program.epoch(networks_M, state, epoch)
    try:
      ledger.write()  # while the device trains
      running = ledger.take(epoch, state, metrics) and epoch < epochs
    except KeyboardInterrupt:
      ledger.write()
      raise
    bar.advance(int(active.sum()), program.images(networks_M))
  bar.skip(int(active.sum()) * (epochs - epoch))  # all were stopped early
  ledger.finish(program.measure(networks_M, state, True)[1])


def static_of(recipe, unit):
  """What the program of a unit is compiled for: `train.Static`."""
  from nws_jax.zoo import train
  return train.Static(
      arch=unit.arch, batch_size=unit.batch_size, lr_decay=recipe.lr_decay,
      eval_bn=recipe.eval_bn, eval_batch=train.EVAL_BATCH,
      patience=recipe.early_stopping, dtype=recipe.precision)


def networks(rows, names, width):
  """`train.Network` of NumPy arrays [M] for some rows; the rest is empty.

  Args:
    rows: of `recipe.rows`.
    names: the program's image sets, in their order.
    width: M.
  """
  from nws_jax.zoo import train

  def column(name, options=None, dtype=np.int32):
    values = [options.index(r[name]) if options else r[name] for r in rows]
    return np.asarray(values + [values[0]] * (width - len(rows)), dtype)

  return train.Network(
      id=column('id'),
      dataset=column('dataset', names),
      learning_rate=column('learning_rate', dtype=np.float32),
      augmentation=column('augmentation', dtype=bool),
      optimizer=column('optimizer', space.OPTIMIZERS),
      activation=column('activation', space.ACTIVATIONS),
      initialization=column('initialization', space.INITIALIZATIONS),
      active=np.arange(width) < len(rows))

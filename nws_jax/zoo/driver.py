"""Runs a plan: units -> epochs -> store; resumes at the last committed epoch.

The device never waits for the disk: while epoch e + 1 is trained, epoch e is
written, made durable, and only then committed.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import time
from importlib import metadata

import numpy as np

from nws_jax import errors, space
from nws_jax.store import folder, snapshots, tables, vectors
from nws_jax.zoo import images, plan as plans, recipe as recipes, runtime

_PACKAGES = ('nws_jax', 'jax', 'jaxlib', 'flax', 'numpy', 'optax',
             'orbax-checkpoint', 'tensorstore')


def run(recipe, workdir, bar):
  """Trains what a population still lacks.

  Args:
    recipe: `recipes.Recipe`.
    workdir: the zoo's folder; made, or gone on with.
    bar: a `progress.Bar`.

  Returns:
    Whether there was anything to do.

  Raises:
    errors.Wrong: the request cannot be met; nothing was changed.
    errors.Damaged: what is there is damaged, or it could not be saved.
  """
  rows = recipes.rows(recipe)
  names = list(dict(recipe.choices)['dataset'])
  sets = [images.load(n, recipe.dataset_source, recipe.data_dir or None)
          for n in names]
  _check_sizes(recipe, names, sets)
  _check_free(workdir)
  with folder.lock(workdir):
    _settle_config(workdir, recipe, names, sets)
    plan = _settle_plan(workdir, recipe, rows)
    units = [(u, folder.progress(workdir, u.name)) for u in plan.units]
    if all(p and p['done'] for _, p in units):
      _finish(workdir)
      return False
    _train(workdir, recipe, plan, units, rows, names, sets, bar)
    _finish(workdir)
    return True


def _train(workdir, recipe, plan, units, rows, names, sets, bar):
  from nws_jax.zoo import population, train
  data = train.pack(sets, recipe.test_part)
  bar.start(sum(len(u.ids) for u, _ in units), recipe.epochs, sum(
      len(u.ids) * (p['epoch'] if p else 0) for u, p in units))
  built, program = None, None
  for unit, progress in units:
    if progress and progress['done']:
      continue
    static = train.Static(
        unit.arch, unit.batch_size, recipe.lr_decay, recipe.eval_bn, 250,
        recipe.precision)
    if built != (static, unit.width):
      bar.note(f'compiling {unit.name}')
      built = static, unit.width
      program = population.build(static, data, recipe.seed, plan.form)
    mine = [rows[i] for i in unit.ids]
    _train_unit(workdir, recipe.epochs, unit, progress, mine, program,
                networks(mine, names, unit.width), data, bar)
    folder.rebuild(workdir)


def networks(rows, names, width):
  """`train.Network` of NumPy arrays [M] for some rows; the rest is empty.

  Args:
    rows: of `recipes.rows`.
    names: the program's image sets, in their order.
    width: M.
  """
  from nws_jax.zoo import train

  def column(name, options, dtype=np.int32):
    values = [options.index(r[name]) if options else r[name] for r in rows]
    return np.asarray(values + [values[0]] * (width - len(rows)), dtype)

  return train.Network(
      column('id', None), column('dataset', names),
      column('learning_rate', None, np.float32),
      column('augmentation', None, bool),
      column('optimizer', space.OPTIMIZERS),
      column('activation', space.ACTIVATIONS),
      column('initialization', space.INITIALIZATIONS),
      np.arange(width) < len(rows))


def _train_unit(workdir, epochs, unit, progress, rows, program, networks_M,
                data, bar):
  """Trains one unit from where it stands to its last epoch."""
  log = _Log(workdir, unit, rows, epochs, progress)
  networks_M = program.place(networks_M)
  state = program.init(networks_M)
  if progress:
    state = program.place(_restore(workdir, unit, progress['epoch'], state))
    first = progress['epoch'] + 1
  else:
    metrics = program.measure(networks_M, state, epochs == 0)
    log.take(0, state, metrics)
    first = 1
  images_each = [int(data.a_class_S[d]) * space.NUM_CLASSES
                 for d in np.asarray(networks_M.dataset)[:len(rows)]]
  try:
    for epoch in range(first, epochs + 1):
      state, metrics = program.epoch(networks_M, state, epoch, epoch == epochs)
      log.write()  # while the device trains
      log.take(epoch, state, metrics)
      bar.advance(len(rows), sum(images_each))
  except KeyboardInterrupt:
    log.write()
    raise
  log.write()


def _restore(workdir, unit, epoch, state):
  """The committed state, its empty slots as `state` has them."""
  like = snapshots.restore(
      folder.state_path(workdir, unit.name, epoch),
      _stored(state, len(unit.ids)))
  import jax
  whole = jax.device_get(state)
  slots = whole.slots._replace(m_P=_pad(like['m'], whole.slots.m_P),
                               s_P=_pad(like['s'], whole.slots.s_P))
  return whole._replace(
      vector_P=_pad(like['vector'], whole.vector_P), slots=slots,
      step=_pad(like['step'], whole.step),
      diverged=_pad(like['diverged'], whole.diverged))


def _pad(some, whole):
  return np.concatenate([some, np.asarray(whole)[len(some):]])


def _stored(state, m):
  """The first `m` networks' state as it lies on disk: copies in NumPy."""
  copy = lambda x: np.array(x)[:m]
  return {'vector': copy(state.vector_P), 'm': copy(state.slots.m_P),
          's': copy(state.slots.s_P), 'step': copy(state.step),
          'diverged': copy(state.diverged)}


class _Log:
  """What a unit has to write: one epoch taken, the ones before committed."""

  def __init__(self, workdir, unit, rows, epochs, progress):
    self._workdir, self._unit, self._epochs = workdir, unit, epochs
    self._rows, self._metrics, self._digests = rows, [], {}
    self._taken, self._writer = None, snapshots.Writer()
    self._seconds, self._clock = 0.0, time.monotonic()
    if progress:
      members, metrics = folder.read_unit(workdir, unit.name)
      self._metrics = metrics.to_dict('records')
      self._digests = progress['digests']
      self._seconds = members['seconds'].sum()

  def take(self, epoch, state, metrics):
    """Waits for an epoch and copies it from the device."""
    self._taken = epoch, _stored(state, len(self._rows)), [
        np.asarray(m)[:len(self._rows)] for m in metrics]

  def write(self):
    """Writes the epoch that was taken, and commits it once it is durable."""
    if self._taken is None:
      return
    (epoch, state, metrics), self._taken = self._taken, None
    name, vector = self._unit.name, state['vector']
    self._writer.save(
        folder.snapshot_path(self._workdir, name, epoch),
        vectors.to_variables(vector, self._unit.arch))
    self._writer.save(folder.state_path(self._workdir, name, epoch), state)
    self._digests[epoch] = snapshots.digests(vector)
    for n, row in enumerate(self._rows):
      figures = dict(zip(
          ('train_loss', 'train_accuracy', 'valid_loss', 'valid_accuracy',
           'test_loss', 'test_accuracy'), (float(m[n]) for m in metrics)))
      self._metrics.append({'id': row['id'], 'epoch': epoch,
                            'step': int(state['step'][n]), 'snapshot': epoch,
                            **figures})
    self._writer.wait()
    done = epoch == self._epochs
    folder.commit(self._workdir, name, epoch, done, self._members(state, done),
                  self._metrics, self._digests)
    if done:
      shutil.rmtree(folder.state_path(self._workdir, name, epoch))
    elif epoch:
      shutil.rmtree(folder.state_path(self._workdir, name, epoch - 1),
                    ignore_errors=True)

  def _members(self, state, done):
    now = time.monotonic()
    self._seconds, self._clock = self._seconds + now - self._clock, now
    last = self._metrics[-len(self._rows):]
    for n, (row, figures) in enumerate(zip(self._rows, last)):
      diverged = int(state['diverged'][n])
      status = 'finished' if done else 'running'
      yield {**row, 'unit': self._unit.name,
             'status': status if diverged < 0 else 'diverged',
             'evaluations': len(self._metrics) // len(self._rows),
             'last_step': figures['step'],
             'seconds': self._seconds / len(self._rows),
             'diverged_epoch': None if diverged < 0 else diverged,
             **{k: figures[k] for k in (
                 'train_accuracy', 'valid_accuracy', 'test_accuracy')}}


def _finish(workdir):
  """The tables on top, and nothing left of what only a resumed run needs."""
  folder.rebuild(workdir)
  shutil.rmtree(os.path.join(workdir, 'state'), ignore_errors=True)


def _check_sizes(recipe, names, sets):
  from nws_jax.zoo import train
  largest = max(dict(recipe.choices)['batch_size'])
  for name, images_each in zip(names, train.images_an_epoch(sets)):
    if images_each < largest:
      raise errors.Wrong(
          f'batch_size={largest} is not possible: {name} has {images_each} '
          'balanced training images. Restrict --config.batch_size or '
          '--config.datasets.')


def _check_free(workdir):
  """A folder that holds something else is left alone."""
  if os.path.exists(workdir) and not os.path.isdir(workdir):
    raise errors.Wrong(f'{workdir} is a file. Name a folder with --workdir.')
  if os.path.isdir(workdir) and not os.path.exists(
      os.path.join(workdir, 'config.json')):
    others = sorted(set(os.listdir(workdir)) - {'lock'})
    if others:
      raise errors.Wrong(
          f'{workdir} is not a zoo, and not empty: it holds {others[0]!r}. '
          'Name another --workdir.')


def _settle_config(workdir, recipe, names, sets):
  """Writes config.json, or compares the one there with what is asked."""
  path = os.path.join(workdir, 'config.json')
  digests = {n: _digest(s) for n, s in zip(names, sets)}
  asked = {**recipe.record(), 'images': digests}
  del asked['networks_per_program']  # the plan knows, and keeps it
  if not os.path.exists(path):
    tables.write_json(path, {**asked, **_provenance()})
    return
  there = tables.read_json(path)
  for key, value in asked.items():
    if key != 'data_dir' and there.get(key) != value:
      raise errors.Wrong(
          f'{workdir} holds another zoo: its {key} is {there.get(key)!r}, not '
          f'{value!r}. Ask for the same, or name another --workdir.')


def _digest(image_set):
  h = hashlib.sha256()
  for array in image_set:
    h.update(np.ascontiguousarray(array))
  return h.hexdigest()


def _provenance():
  """Versions, revision and machine, for who repeats this a year later."""
  versions = {}
  for package in _PACKAGES:
    try:
      versions[package] = metadata.version(package)
    except metadata.PackageNotFoundError:  # run from its source folder
      versions[package] = None
  root = os.path.dirname(os.path.dirname(os.path.dirname(
      os.path.abspath(__file__))))
  git = subprocess.run(['git', '-C', root, 'describe', '--always', '--dirty'],
                       capture_output=True, text=True) if shutil.which(
                           'git') else None
  return {'versions': {**versions, 'python': platform.python_version()},
          'revision': git.stdout.strip() if git else '',
          'created': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}


def _settle_plan(workdir, recipe, rows):
  """Reads plan.json, or makes it; starts jax as the plan wants it."""
  path = os.path.join(workdir, 'plan.json')
  there = plans.read(path) if os.path.exists(path) else None
  devices = runtime.start(there.devices if there else None)
  from nws_jax.zoo import population
  platform_ = population.platform()
  if there is None:
    there = plans.make(rows, platform_, population.default_form(), devices,
                       recipe.networks_per_program)
    plans.write(path, there)
  elif (there.platform, there.devices) != (platform_, devices):
    raise errors.Wrong(
        f'{workdir} was begun on {there.devices} {there.platform} devices; '
        f'there are {devices} {platform_} devices here. Go on where it began, '
        f'or set JAX_PLATFORMS={there.platform}.')
  return there


"""A request: what is asked of a zoo, made ready; and where its answer lies."""

import dataclasses
import functools
import json
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax import environment, errors
from nws_jax.meta import settings as settings_lib
from nws_jax.meta.answers import ladder
from nws_jax.meta.data import (
  hold_out,
  layouts,
  places,
  reading,
  targets,
  windows,
)
from nws_jax.meta.training import fit, measure, views
from nws_jax.meta.training import trials as trials_lib
from nws_jax.store import tables

# Raised when the same request is answered otherwise than before, so that an
# answer of an older version is never taken for that of this one.
ANSWERS = 3
_RATE = 1e-3  # of Adam, as published
_RATES = {settings_lib.FAST: 3e-3}


@dataclasses.dataclass(frozen=True)
class Request:
  """Who is read, what for, and with what; everything checked, no weights."""
  settings: settings_lib.Settings
  axes: tuple  # of the ablation; empty for one number
  zoo: Any  # nws_jax.api.Zoo, or what is left of it
  members: Any  # DataFrame: a row for each thing that is decided about
  rows: Any  # DataFrame: a row for each vector, or sequence of them
  networks: Any  # DataFrame of the networks that are read
  pairs_Mx2: Any  # rows compared, where the members are pairs; else None
  left_out: dict
  target: targets.Target
  sides: windows.Sides
  window: int
  epochs: dict  # id -> its epochs

  @property
  def snapshots(self):
    """How many of a row are used together."""
    if self.target.name == targets.EPOCH:
      return 1
    return len(next(iter(self.epochs.values())))

  @property
  def settings_M(self):
    return self.members['setting'].to_numpy()

  @property
  def asked(self):
    """What the answer depends on; its digest names the folder."""
    return {'answers': ANSWERS, 'target': self.target.name,
            'axes': list(self.axes),
            'config': dataclasses.asdict(self.settings),
            'zoo': self.zoo.digest}

  @property
  def digest(self):
    return tables.hash_text(json.dumps(self.asked, sort_keys=True))[:12]


def make(zoo, name, settings, axes=()):
  """Checks everything that can be checked before weights are read.

  Raises:
    errors.Wrong: it cannot be done; says what could.
  """
  if settings.classifier == 'auto':
    settings = dataclasses.replace(
        settings, classifier=settings_lib.FAST
        if jax.default_backend() == 'cpu' else settings_lib.CNN)
  targets.check_name(zoo.members, name)
  if settings.exclude:
    zoo = reading.Without(zoo, settings.exclude)
  networks, left_out = targets.select(
      targets.derive(zoo.members), name, diverged=settings.diverged,
      min_accuracy=settings.min_accuracy, balance=settings.balance)
  if not len(networks):
    raise errors.Wrong(
        f'no networks are left to read: {left_out} were left out. Set '
        '--config.diverged=True or a smaller --config.min_accuracy.')
  wanted = settings.epochs
  if wanted == 'last' and (
      name == targets.EPOCH or {'epoch', 'train_epoch'} & set(axes)):
    wanted = 'all'  # a grid over one epoch would be no grid
  epochs = reading.choose_epochs(zoo, networks['id'].tolist(), wanted)
  members, rows, pairs_Mx2 = networks, networks, None
  if name == targets.EPOCH:
    _check_apart(name, {'epoch', 'train_epoch'} & set(axes))
    members = rows = targets.spread_epochs(networks, epochs)
  elif name == targets.SAME:
    _check_apart(name, [settings.hold_out] * bool(settings.hold_out))
    if settings.classifier != settings_lib.FAST:
      raise errors.Wrong(f'--target={name} compares what the fast classifier '
                         'looks at: use --classifier=fast.')
    members, pairs_Mx2 = targets.pair(networks, settings.seed)
  target = targets.choose(members, name, settings.bins)
  if settings.balance and not target.classes:
    raise errors.Wrong(
        f'--balance keeps as many networks of every class, but {name} is a '
        'number. Cut it into quantiles with --bins=3, or give --nobalance.')
  window = ladder.choose_window(settings.classifier, networks, settings.window)
  if {'position', 'pooled'} & set(axes):
    window = places.local_window(
        settings.window, int(networks['num_weights'].min()))
  ladder.check(settings.classifier, window, axes, networks, zoo.layers)
  request = Request(
      settings, tuple(axes), zoo, members, rows, networks, pairs_Mx2, left_out,
      target, windows.split(members, len(networks)), window, epochs)
  if settings.hold_out and 'hold_out' not in axes:
    level, *more = hold_out.list_levels(members, settings.hold_out, name)
    if more:
      raise errors.Wrong(f'--hold_out={settings.hold_out} has no level; give '
                         'one, as property=level, or --ablate=hold_out.')
    request = dataclasses.replace(request, sides=hold_out.split(
        members, settings.hold_out, level, target, len(networks)))
  return request


def _check_apart(name, others):
  if others:
    raise errors.Wrong(f'--target={name} cannot be read together with '
                       f'{", ".join(sorted(others))}: leave one out.')


def load(request, epochs=None):
  """Reads the weights: the `windows.Source` on the device.

  Args:
    request: `Request`.
    epochs: id -> epochs to read, in place of the request's.
  """
  parts_AxP, layout_M, _ = reading.read_layout(
      request.zoo.layers, request.rows)
  weights_MxExP = reading.read_weights(
      request.zoo, request.networks, epochs or request.epochs)
  if len(request.rows) > len(weights_MxExP):  # a row a snapshot
    weights_MxExP = weights_MxExP.reshape(
        len(request.rows), 1, weights_MxExP.shape[-1])
  return windows.Source(jnp.asarray(weights_MxExP), jnp.asarray(parts_AxP),
                        jnp.asarray(layout_M))


def list_parts(request):
  """(layer, tensor) of the parts that a `windows.Source` numbers."""
  return reading.read_layout(request.zoo.layers, request.rows)[2]


def make_plan(request, span):
  """The `fit.Plan` for models that use `span` snapshots of a network."""
  s = request.settings
  steps = s.steps or -(-s.passes * int(request.sides.trains_F.max()) * span
                       // s.batch_size)
  rate = s.learning_rate or _RATES.get(s.classifier, _RATE)
  return fit.Plan(steps, s.round_steps, s.patience, s.batch_size, rate, span)


def make_looks(request):
  """`views.Looks` of whole requests."""
  s = request.settings
  return views.Looks(
      request.window, s.windows_per_network, s.windows_drawn,
      layout=not request.target.fixes_shapes, tensors=read_tensors(request))


def read_tensors(request):
  """Of each layout of a `windows.Source` its `layouts.Tensor`s."""
  return layouts.read(request.zoo.layers,
                      dict.fromkeys(request.rows['architecture']))


def make_place(request, source, seed=None):
  """The `views.Place` of whole vectors, for the first or another seed."""
  return views.Place(
      source, whole(request), make_looks(request), request.pairs_Mx2,
      request.settings.seed if seed is None else seed)


def make_trial(request, **changed):
  """The `trials.Trial` that is asked for, with some fields changed."""
  trial = trials_lib.Trial(0, None, request.sides, request.snapshots,
                        seed=request.settings.seed)._replace(**changed)
  if trial.values_FxM is None:
    trial = trial._replace(values_FxM=request.target.label(trial.sides))
  return trial


def decide(request, places_, trials, progress, validate=False, keep=0):
  """`measure.decide` with what the request settles."""
  s = request.settings
  return measure.decide(
      places_, trials, request.target.outputs, name=s.classifier,
      plan=functools.partial(make_plan, request), key=jax.random.key(0),
      progress=progress, members=ladder.count_members(s, request.axes),
      validate=validate, keep=keep)


def whole(request):
  """The `windows.Region` of whole vectors."""
  lengths_M = request.rows['num_weights'].to_numpy().astype(np.int32)
  return windows.Region(np.zeros_like(lengths_M), lengths_M)


def describe(request):
  """What a record says of the request itself."""
  sides, target = request.sides, request.target
  return {
      'answers': ANSWERS, 'target': target.name,
      'kind': 'classification' if target.classes else 'regression',
      'classifier': request.settings.classifier,
      'classes': list(target.classes),
      'networks': {
          'read': len(request.networks), 'folds': len(sides.trains_F),
          'train': int(sides.trains_F.max()),
          'valid': int(sides.valids_F.max()),
          'test': int(sides.tests_F.max()), 'left_out': request.left_out},
      'epochs': sorted({e for some in request.epochs.values() for e in some}),
      'zoo': describe_zoo(request.zoo),
      'config': dataclasses.asdict(request.settings),
      'versions': environment.find_versions(),
  }


def describe_zoo(zoo):
  """What a record says of the zoo that was read."""
  part = {} if zoo.extent is None else {'part': zoo.extent.record()}
  return {'path': zoo.path, 'digest': zoo.digest} | part


def folder(workdir, request):
  """runs/meta/<target>/<digest of the request>."""
  return os.path.join(workdir, request.target.name, request.digest)

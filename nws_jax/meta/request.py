"""A request: what is asked of a zoo, checked, before any weight is read."""

import dataclasses
import json
import os
from typing import Any, Iterable, Sequence

import jax
import numpy as np
import pandas as pd

from nws_jax import environment, errors
from nws_jax.meta import settings as settings_lib
from nws_jax.meta.classifiers import interface, table
from nws_jax.meta.data import (
  grid,
  hold_out,
  layouts,
  reading,
  splits,
  targets,
)
from nws_jax.store import tables

# Raised when the same request is answered otherwise than before, so that an
# answer of an older version is never taken for that of this one.
ANSWERS = 4
_EPOCHS = {'epoch', 'train_epoch'}  # axes that leave a window as it is
_LOCAL = {'position', 'pooled'}  # axes of several windows of a vector


@dataclasses.dataclass(frozen=True)
class Request:
  """Who is read, what for, and with what; everything checked, no weights."""
  settings: settings_lib.Settings
  classifier: interface.Classifier  # that the settings name
  axes: tuple[str, ...]  # of the ablation; empty for one number
  zoo: Any  # nws_jax.api.Zoo, or what is left of it
  members: pd.DataFrame  # a row for each thing that is decided about
  rows: pd.DataFrame  # a row for each vector, or sequence of them
  networks: pd.DataFrame  # that are read
  pairs_Mx2: np.ndarray | None  # rows compared, where the members are pairs
  left_out: dict[str, int]  # {reason: networks}
  target: targets.Target
  sides: splits.Sides
  window: int
  epochs: dict[int, tuple[int, ...]]  # id -> its epochs
  layers: pd.DataFrame  # the rows of layers.csv that the networks have
  tensors: layouts.Layouts  # of each architecture that a `windows.Source` has
  parts: list[layouts.Part]  # as a `windows.Source` numbers them

  @property
  def snapshots(self) -> int:
    """How many of a row are used together."""
    if self.target.name == targets.EPOCH:
      return 1
    return len(next(iter(self.epochs.values())))

  @property
  def settings_M(self) -> np.ndarray:
    return self.members['setting'].to_numpy()

  @property
  def num_members(self) -> int:
    """Models of each fold whose outputs are averaged."""
    return self.classifier.count_members(
        self.settings.grid_members if self.axes else self.settings.members)

  @property
  def asked(self) -> dict[str, Any]:
    """What the answer depends on; its digest names the folder."""
    return {'answers': ANSWERS, 'target': self.target.name,
            'axes': list(self.axes),
            'config': dataclasses.asdict(self.settings),
            'zoo': self.zoo.digest}

  @property
  def digest(self) -> str:
    return tables.hash_text(json.dumps(self.asked, sort_keys=True))[:12]


def make(zoo: Any, name: str, settings: settings_lib.Settings,
         axes: Sequence[str] = ()) -> Request:
  """Checks everything that can be checked before weights are read.

  Args:
    zoo: `nws_jax.api.Zoo`.
    name: of the target.
    settings: how it is read.
    axes: of an ablation; none for one number.

  Raises:
    errors.Wrong: it cannot be done; says what could.
  """
  # 1. By what: `auto` depends on the device.
  settings = dataclasses.replace(settings, classifier=table.choose(
      settings.classifier, jax.default_backend()))
  classifier = table.CLASSIFIERS[settings.classifier]

  # 2. Which networks, and which snapshots of them.
  targets.check_name(zoo.members, name)
  if settings.exclude:
    zoo = reading.Without(zoo, settings.exclude)
  networks, left_out = targets.select(
      targets.derive(zoo.members), name, diverged=settings.diverged,
      min_accuracy=settings.min_accuracy, balance=settings.balance,
      properties=zoo.properties)
  if not len(networks):
    raise errors.Wrong(
        f'no networks are left to read: {left_out} were left out. Set '
        '--config.diverged=True or a smaller --config.min_accuracy.')
  wanted = settings.epochs
  if wanted == 'last' and (name == targets.EPOCH or _EPOCHS & set(axes)):
    wanted = 'all'  # a grid over one epoch would be no grid
  epochs = reading.choose_epochs(zoo, networks['id'].tolist(), wanted)

  # 3. What is decided about: networks, their snapshots, or pairs of them.
  members, rows, pairs_Mx2 = networks, networks, None
  if name == targets.EPOCH:
    _check_apart(name, _EPOCHS & set(axes))
    members = rows = targets.spread_epochs(networks, epochs)
  elif name == targets.SAME:
    _check_apart(name, [settings.hold_out] * bool(settings.hold_out))
    if not classifier.requirements.compares_pairs:
      raise errors.Wrong(f'--target={name} compares what the fast classifier '
                         'looks at: use --classifier=fast.')
    members, pairs_Mx2 = targets.pair(
        networks, settings.seed, zoo.properties)
  target = targets.choose(members, name, settings.bins, zoo.properties)
  if settings.balance and not target.classes:
    raise errors.Wrong(
        f'--balance keeps as many networks of every class, but {name} is a '
        'number. Cut it into quantiles with --bins=3, or give --nobalance.')

  # 4. In which windows, and whether the classifier can take them.
  window = _choose_window(classifier, networks, settings.window, axes)
  layers = reading.list_layers(zoo.layers, rows)
  request = Request(
      settings, classifier, tuple(axes), zoo, members, rows, networks,
      pairs_Mx2, left_out, target, splits.split(members, len(networks)),
      window, epochs, layers,
      layouts.read(layers, dict.fromkeys(rows['architecture'])),
      reading.read_layout(layers, rows).names)
  _check_classifier(request)

  # 5. Who is trained on: usually all folds but one, else other levels.
  if settings.hold_out and 'hold_out' not in axes:
    request = dataclasses.replace(request, sides=_hold_out(request))
  return request


def _check_apart(name: str, others: Iterable[str]) -> None:
  if others:
    raise errors.Wrong(f'--target={name} cannot be read together with '
                       f'{", ".join(sorted(others))}: leave one out.')


def _choose_window(classifier: interface.Classifier, networks: pd.DataFrame,
                   window: int, axes: Sequence[str]) -> int:
  """The length of a window; the whole vector where a classifier needs it."""
  shortest = int(networks['num_weights'].min())
  whole = classifier.requirements.check_whole is not None and not window
  chosen = shortest if whole else reading.choose_window(networks, window)
  return grid.local_window(window, shortest) if _LOCAL & set(axes) else chosen


def _check_classifier(request: Request) -> None:
  """Raises `Wrong` where a classifier cannot take what a request gives it."""
  classifier, networks = request.classifier, request.networks
  classifier.check_packages()
  check_length(classifier, request.window)
  check_whole = classifier.requirements.check_whole
  if check_whole is None:
    return
  architectures = networks['architecture'].nunique()
  places = [a for a in request.axes if a not in _EPOCHS]
  if (architectures > 1 or request.window != networks['num_weights'].min()
      or places):
    what = (f'{architectures} architectures' if architectures > 1
            else f'--ablate={",".join(places)}' if places
            else f'a window of {request.window} weights')
    raise errors.Wrong(
        f'--classifier={classifier.name} reads whole vectors of one '
        f'architecture, not {what}. Use --classifier=transformer or fast.')
  check_whole(request.tensors[0])


def check_length(classifier: interface.Classifier, window: int) -> None:
  """Raises `Wrong` for windows that a classifier cannot take."""
  shortest = classifier.requirements.shortest_window
  if window < shortest:
    raise errors.Wrong(
        f'a window of {window} weights is too short for the {classifier.name}, '
        f'which needs {shortest}. Use --classifier=fast.')


def _hold_out(request: Request) -> splits.Sides:
  text, target = request.settings.hold_out, request.target
  level, *more = hold_out.list_levels(
      request.members, text, target.name, request.zoo.properties)
  if more:
    raise errors.Wrong(f'--hold_out={text} has no level; give one, as '
                       'property=level, or --ablate=hold_out.')
  return hold_out.split(request.members, text, level, target,
                        len(request.networks))


def describe(request: Request) -> dict[str, Any]:
  """What a record says of the request itself."""
  sides, target = request.sides, request.target
  return {
      'answers': ANSWERS, 'target': target.name,
      'kind': 'classification' if target.classes else 'regression',
      'classifier': request.classifier.name,
      'classes': list(target.classes),
      'networks': {
          'read': len(request.networks), 'folds': len(sides.trains_F),
          'train': int(sides.trains_F.max()),
          'valid': int(sides.valids_F.max()),
          'test': int(sides.tests_F.max()), 'left_out': request.left_out},
      'epochs': sorted({e for of in request.epochs.values() for e in of}),
      'zoo': describe_zoo(request.zoo),
      'config': dataclasses.asdict(request.settings),
      'versions': environment.find_versions(),
  }


def describe_zoo(zoo: Any) -> dict[str, Any]:
  """What a record says of the zoo that was read."""
  part = {} if zoo.extent is None else {'part': zoo.extent.record()}
  return {'path': zoo.path, 'digest': zoo.digest} | part


def folder(workdir: str, request: Request) -> str:
  """runs/meta/<target>/<digest of the request>."""
  return os.path.join(workdir, request.target.name, request.digest)

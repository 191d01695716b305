"""A request: what is asked of a zoo, made ready; and where its answer lies."""

import csv
import dataclasses
import io
import json
import os
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax import errors
from nws_jax.meta import (
  fit,
  layouts,
  measure,
  reading,
  rungs,
  score,
  targets,
  windows,
)
from nws_jax.meta import settings as settings_lib
from nws_jax.store import tables

_PACKAGES = ('nws_jax', 'jax', 'jaxlib', 'flax', 'optax', 'numpy')


@dataclasses.dataclass(frozen=True)
class Request:
  """Who is read, what for, and with what; everything checked, no weights."""
  settings: settings_lib.Settings
  axes: tuple  # of the ablation; empty for one number
  zoo: Any  # nws_jax.api.Zoo
  members: Any  # DataFrame of the networks that are read
  left_out: dict
  target: targets.Target
  sides: windows.Sides
  window: int
  epochs: dict  # id -> its epochs

  @property
  def snapshots(self):
    return len(next(iter(self.epochs.values())))

  @property
  def settings_M(self):
    return self.members['setting'].to_numpy()

  @property
  def asked(self):
    """What the answer depends on; its digest names the folder."""
    return {'target': self.target.name, 'axes': list(self.axes),
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
  members, left_out = targets.select(
      zoo.members, name, diverged=settings.diverged,
      min_accuracy=settings.min_accuracy, balance=settings.balance)
  if not len(members):
    raise errors.Wrong(
        f'no networks are left to read: {left_out} were left out. Set '
        '--config.diverged=True or a smaller --config.min_accuracy.')
  target = targets.choose(members, name)
  wanted = settings.epochs
  if 'epoch' in axes and wanted == 'last':
    wanted = 'all'  # a grid over one epoch would be no grid
  window = rungs.choose_window(settings.classifier, members, settings.window)
  rungs.check(settings.classifier, window, axes, members, zoo.layers)
  return Request(
      settings, tuple(axes), zoo, members, left_out, target,
      windows.split(members), window,
      reading.choose_epochs(zoo, members['id'].tolist(), wanted))


def load(request):
  """Reads the weights: the `windows.Source` on the device."""
  parts_AxP, layout_M, _ = reading.read_layout(
      request.zoo.layers, request.members)
  weights_MxExP = reading.read_weights(
      request.zoo, request.members, request.epochs)
  return windows.Source(jnp.asarray(weights_MxExP), jnp.asarray(parts_AxP),
                        jnp.asarray(layout_M))


def make_plan(request, span):
  """The `fit.Plan` for models that use `span` snapshots of a network."""
  s = request.settings
  steps = s.steps or -(-s.passes * int(request.sides.trains_F.max()) * span
                       // s.batch_size)
  return fit.Plan(steps, s.round_steps, s.patience, s.batch_size,
                  s.learning_rate, span)


def decide(request, source, region, length, firsts, span, values_RxM, key,
           progress, keep=None):
  """`measure.decide` with what the request settles."""
  s, target = request.settings, request.target
  return measure.decide(
      source, region, values_RxM, target.outputs, request.sides,
      name=s.classifier, looks=measure.Looks(
          length, s.windows_per_network, s.windows_drawn,
          layout=not target.fixes_shapes, tensors=read_tensors(request)),
      firsts=firsts, plan=make_plan(request, span), key=key,
      progress=progress, members=s.members, keep=keep)


def read_tensors(request):
  """Of each architecture that is read its tensors, as `load` orders them."""
  return layouts.read(request.zoo.layers,
                      dict.fromkeys(request.members['architecture']))


def answer(request, source, progress, keep=None):
  """Trains and tests for one number; `keep` is of `measure.decide`.

  Returns:
    (what result.json says but for the time, text of predictions.csv).
  """
  s, target = request.settings, request.target
  region = whole(request)
  values_RxM = score.permute(
      target.values_M, request.settings_M, s.permutations,
      np.random.default_rng([s.seed, 1]))
  runs = decide(request, source, region, request.window, [0],
                request.snapshots, values_RxM, jax.random.key(s.seed),
                progress, keep)[0]
  scored = [score.score(
      d, dataclasses.replace(target, values_M=values_M), request.settings_M,
      s.bootstrap) for d, values_M in zip(runs, values_RxM)]
  record = {**describe(request), **scored[0], 'controls': {
      **score.control(runs[0], target, request.sides, request.settings_M,
                      s.bootstrap), **score.control_shuffled(scored)}}
  record['windows'] = {'length': request.window, 'per_network':
                       runs[0].outputs_TxSxO.shape[1]}
  return record, write_predictions(request, runs[0])


def whole(request):
  """The `windows.Region` of whole vectors."""
  lengths_M = request.members['num_weights'].to_numpy().astype(np.int32)
  return windows.Region(np.zeros_like(lengths_M), lengths_M)


def describe(request):
  """What a record says of the request itself."""
  sides, target = request.sides, request.target
  return {
      'target': target.name,
      'kind': 'classification' if target.classes else 'regression',
      'classifier': request.settings.classifier,
      'classes': list(target.classes),
      'networks': {
          'read': len(request.members), 'folds': len(sides.trains_F),
          'train': int(sides.trains_F.max()),
          'valid': int(sides.valids_F.max()),
          'test': int(sides.tests_F.max()), 'left_out': request.left_out},
      'epochs': sorted({e for some in request.epochs.values() for e in some}),
      'zoo': {'path': request.zoo.path, 'digest': request.zoo.digest},
      'config': dataclasses.asdict(request.settings),
      'versions': {name: _version(name) for name in _PACKAGES},
  }


def write_predictions(request, decisions):
  """predictions.csv: one row a tested network, in the order of the zoo."""
  target, rows_T = request.target, decisions.rows_T
  pooled_TxO = score.pool(decisions)
  if target.classes:
    # A softmax, for windows' mean log-probabilities do not add up to 1.
    shares_TxK = np.exp(pooled_TxO - pooled_TxO.max(1, keepdims=True))
    shares_TxK /= shares_TxK.sum(1, keepdims=True)
    true = [target.classes[i] for i in target.values_M[rows_T]]
    predicted = [target.classes[i] for i in pooled_TxO.argmax(1)]
    more = [f'p_{c}' for c in target.classes]
  else:
    true, predicted = (target.natural(v).tolist() for v in (
        target.values_M[rows_T], pooled_TxO[:, 0]))
    shares_TxK, more = np.zeros((len(rows_T), 0)), []
  out = io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  writer.writerow(['id', 'setting', 'fold', 'true', 'predicted', *more])
  for row, fold, t, p, shares in zip(
      rows_T, decisions.folds_T, true, predicted, shares_TxK.tolist()):
    member = request.members.iloc[row]
    writer.writerow([member['id'], member['setting'], fold, t, p,
                     *(f'{x:.6g}' for x in shares)])
  return out.getvalue()


def folder(workdir, request):
  """runs/meta/<target>/<digest of the request>."""
  return os.path.join(workdir, request.target.name, request.digest)


def _version(name):
  try:
    return metadata.version(name)
  except metadata.PackageNotFoundError:
    return None

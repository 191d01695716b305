"""Trains meta-classifiers for one place in the vector, and lets them decide.

Folds, epochs and permutations of the labels are trained together.
"""

import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax.meta import classifiers, fit, settings, windows

MEMORY = 1 << 30  # bytes that models trained at once may take, about
STRETCHES = 16  # parts of a window whose layout must not be known


class Looks(NamedTuple):
  """What of a network is looked at."""
  length: int  # of a window
  even: int  # windows that decide together, at most
  drawn: int  # windows of a snapshot that `fast` is trained on, at most
  layout: bool  # whether `fast` may know the tensors


class Decisions(NamedTuple):
  """What the models say of networks they were not fitted to.

  `outputs` are log-probabilities of classes, or values of the target.
  """
  rows_T: np.ndarray  # the tested networks
  folds_T: np.ndarray
  outputs_TxSxO: Any  # S: all windows of all snapshots


def decide(source, region, target_values_RxM, outputs, sides, *, name, looks,
           firsts, plan, key, progress, members=1):
  """Trains every model, and decides for every tested network.

  Args:
    source: `windows.Source`.
    region: `windows.Region` that windows lie in.
    target_values_RxM: int classes or floats, for each of R runs: the true
      labels, or permutations of them.
    outputs: classes, or 1.
    sides: `windows.Sides`.
    name: the classifier.
    looks: `Looks`.
    firsts: the first snapshot of each cell; `plan.span` from it are used.
    plan: `fit.Plan`.
    key: consumed.
    members: models of each task whose outputs are averaged: on this few
      networks one model's start alone moves its accuracy by points.
    progress: called with (models done, models, rounds done, models going),
      the last two of those that train now.

  Returns:
    `Decisions` for each run of each first snapshot: [len(firsts)][R].
  """
  fill_key, key = jax.random.split(key)
  if name == settings.FAST:
    window, shared = None, _fill(source, region, looks, fill_key)
  else:
    window = looks.length, _count(region, looks.length, looks.even)
    shared = (source, jnp.asarray(region.low_M), jnp.asarray(region.high_M))
  tasks, scales = _make_tasks(
      np.repeat(target_values_RxM, members, 0), sides, firsts)
  keys = jax.vmap(lambda n: jax.random.fold_in(key, n))(
      jnp.arange(tasks.trains.size))
  mapped = _build(name, outputs, plan._replace(steps=0), window)
  said = _run_in_parts(mapped, shared, tasks, keys, plan, looks, progress)
  if target_values_RxM.dtype.kind == 'i':
    said = np.asarray(jax.nn.log_softmax(said))
  else:
    center, scale = (s.reshape(-1, 1, 1, 1, 1) for s in scales)
    said = said * scale + center
  runs, folds = len(target_values_RxM), len(sides.trains_F)
  said = said.reshape(
      (len(firsts), runs, members, folds) + said.shape[1:]).mean(2)
  return [[_gather(said[c, r], sides) for r in range(runs)]
          for c in range(len(firsts))]


@functools.lru_cache(maxsize=8)  # cells of one shape share what is compiled
def _build(name, outputs, plan, window):
  """`fit.map_fit`; `plan.steps` is of no account, `window` is None for fast."""
  view = windows.cut(*window) if window else windows.look_up()
  return fit.map_fit(
      fit.make_fit(classifiers.make(name, outputs), view, plan))


def _count(region, length, most):
  """No more windows than there are different ones."""
  return min(most, int(np.max(region.high_M - region.low_M)) - length + 1)


def _fill(source, region, looks, key):
  """The `windows.Bank` of a region."""
  low_M, high_M = jnp.asarray(region.low_M), jnp.asarray(region.high_M)
  number_P, parts = np.zeros(0, np.int32), min(STRETCHES, looks.length)
  if looks.layout:
    number_P, parts = _number_parts(source, region)
  describe = functools.partial(
      windows.describe, source, number_P=jnp.asarray(number_P),
      length=looks.length, parts=parts)
  networks, snapshots = source.weights_MxExP.shape[:2]
  even_MxS = jax.vmap(lambda low, high: windows.space_starts(
      low, high, looks.length, _count(region, looks.length, looks.even)))(
          low_M, high_M)
  even = describe(jnp.repeat(even_MxS[:, None], snapshots, 1))
  drawn = _count(region, looks.length, looks.drawn)
  if _count(region, looks.length, 2) == 1:
    return windows.Bank(even, even)  # there is one window only
  shape = (networks, snapshots, drawn)
  low, high = (jnp.broadcast_to(x_M[:, None, None], shape)
               for x_M in (low_M, high_M))
  return windows.Bank(
      describe(windows.draw_starts(key, low, high, looks.length)), even)


def _number_parts(source, region):
  """Numbers the parts that lie in the region; others never occur in it."""
  parts_AxP = np.asarray(source.parts_AxP)
  layout_M = np.asarray(source.layout_M)
  found = set()
  for low, high, a in set(zip(region.low_M, region.high_M, layout_M)):
    found.update(np.unique(parts_AxP[a, low:high]))
  number_P = np.zeros(parts_AxP.max() + 1, np.int32)
  number_P[sorted(found)] = np.arange(len(found))
  return number_P, len(found)


def _make_tasks(values_RxM, sides, firsts):
  """Tasks in the order (cell, run, fold), and each one's target scale."""
  tasks, scales = [], []
  for first, values_M, f in itertools.product(
      firsts, values_RxM, range(len(sides.trains_F))):
    center, scale = 0.0, 1.0
    labels_M = values_M.astype(np.int32)
    if values_M.dtype.kind == 'f':
      train = values_M[sides.train_FxN[f, :sides.trains_F[f]]]
      center, scale = train.mean(), max(train.std(), 1e-12)
      labels_M = ((values_M - center) / scale).astype(np.float32)
    scales.append((center, scale))
    tasks.append(fit.Task(
        labels_M, np.int32(first), sides.train_FxN[f], sides.trains_F[f],
        sides.valid_FxN[f], sides.valids_F[f], sides.test_FxN[f]))
  return jax.tree.map(lambda *x: np.stack(x), *tasks), np.array(scales).T


def _run_in_parts(mapped, shared, tasks, keys, plan, looks, progress):
  """Trains as many models at once as memory allows, all parts of one size."""
  models = len(keys)
  one = jax.eval_shape(mapped[0], shared, _take(tasks, [0]), keys[:1])
  size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(one.best))
  size *= 5  # variables, two moments, the best ones, gradients
  if not isinstance(shared, windows.Bank):
    size += 400 * plan.batch * looks.length  # activations of the cnn, about
  parts = -(-models // max(1, MEMORY // size))
  width = -(-models // parts)
  said = []
  for begin in range(0, models, width):
    rows = np.minimum(np.arange(begin, begin + width), models - 1)
    said.append(fit.run(
        mapped, shared, _take(tasks, rows), keys[rows], plan,
        functools.partial(progress, begin, models)))
  return np.concatenate(said)[:models]


def _take(tasks, rows):
  return jax.tree.map(lambda x: jnp.asarray(x[rows]), tasks)


def _gather(said_FxNxExSxO, sides):
  """Every tested network's outputs, from the fold that tested it."""
  rows, folds, outputs = [], [], []
  for f, n in enumerate(sides.tests_F):
    rows.append(sides.test_FxN[f, :n])
    folds.append(np.full(n, f))
    outputs.append(said_FxNxExSxO[f, :n])
  rows_T = np.concatenate(rows)
  order = np.argsort(rows_T)
  outputs = np.concatenate(outputs)[order]
  return Decisions(rows_T[order], np.concatenate(folds)[order],
                   outputs.reshape(len(rows_T), -1, outputs.shape[-1]))

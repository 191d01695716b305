"""Trains meta-classifiers for one place in the vector, and lets them decide.

Folds, epochs and permutations of the labels are trained together.
"""

import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax.meta import (
  baselines,
  classifiers,
  equivariant,
  features,
  fit,
  settings,
  statistics,
  transformer,
  windows,
)

MEMORY = 1 << 30  # bytes that models trained at once may take, about
STRETCHES = 16  # parts of a window whose layout must not be known
ROWS = 4000  # windows that a support vector machine is fitted to, at most


class Looks(NamedTuple):
  """What of a network is looked at."""
  length: int  # of a window
  even: int  # windows that decide together, at most
  drawn: int  # windows of a snapshot that descriptions are trained on, at most
  layout: bool  # whether a classifier may know the tensors
  tensors: tuple = ()  # of each architecture its `layouts.Tensor`s


class Decisions(NamedTuple):
  """What the models say of networks they were not fitted to.

  `outputs` are log-probabilities of classes, or values of the target.
  """
  rows_T: np.ndarray  # the tested networks
  folds_T: np.ndarray
  outputs_TxSxO: Any  # S: all windows of all snapshots


class Models(NamedTuple):
  """What was trained for the true labels, to be kept: `folds` x `members`.

  `said` tells what the models say of their test and of their validation
  networks, as `Decisions`.
  """
  name: str
  looks: Looks
  outputs: int
  folds: int
  members: int
  trained: Any  # variables [members * folds, ...], or `baselines.Fitted`s
  centers: np.ndarray  # of a regressed target, one a fold
  scales: np.ndarray
  said: Any  # (test, valid)


def decide(source, region, target_values_RxM, outputs, sides, *, name, looks,
           firsts, plan, key, progress, members=1, keep=None):
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
      networks one model's start alone moves its accuracy by points. What is
      fitted without gradients has one start and needs one.
    progress: called with (models done, models, rounds done, models going),
      the last two of those that train now.
    keep: if given, called with the `Models` of the first run of the first
      cell.

  Returns:
    `Decisions` for each run of each first snapshot: [len(firsts)][R].
  """
  fill_key, key = jax.random.split(key)
  if name in settings.FITTED:
    members = 1
  runs, folds = len(target_values_RxM), len(sides.trains_F)
  kept = members * folds if keep else 0
  tasks, scales = _make_tasks(
      np.repeat(target_values_RxM, members, 0), sides, firsts)
  shared, form = _share(name, source, region, looks, fill_key)
  if name in settings.FITTED:
    said, trained, said_valid = _fit_each(
        name, shared, tasks, outputs, plan, key, progress, kept)
  else:
    keys = jax.vmap(lambda n: jax.random.fold_in(key, n))(
        jnp.arange(tasks.trains.size))
    mapped = _build(name, outputs, plan._replace(steps=0), form)
    said, trained, said_valid = _run_in_parts(
        mapped, shared, tasks, keys, plan, looks, progress, kept)
  regressed = target_values_RxM.dtype.kind == 'f'
  said = _finish(said, regressed, *scales)
  said = said.reshape(
      (len(firsts), runs, members, folds) + said.shape[1:]).mean(2)
  decisions = [[_gather(said[c, r], sides.test_FxN, sides.tests_F)
                for r in range(runs)] for c in range(len(firsts))]
  if keep:
    said_valid = _finish(said_valid, regressed, *(s[:kept] for s in scales))
    valid = _gather(
        said_valid.reshape((members, folds) + said_valid.shape[1:]).mean(0),
        sides.valid_FxN, sides.valids_F)
    keep(Models(name, looks, outputs, folds, members, trained,
                *(s[:folds] for s in scales), (decisions[0][0], valid)))
  return decisions


def speak(models, source, region, frame, regressed):
  """What kept models say of other networks: [folds, M, E * S, O].

  Args:
    models: `Models`.
    source: `windows.Source` of those networks.
    region: `windows.Region` of their whole vectors.
    frame: `Frame` of the networks that the models were trained on.
    regressed: whether the target is.
  """
  networks, span = source.weights_MxExP.shape[:2]
  count = models.members * models.folds
  shared, form = _share(models.name, source, region, models.looks,
                        jax.random.key(0), frame)
  if models.name in settings.FITTED:
    said = np.stack([_say_rows(fitted, shared.even_MxExSxF)
                     for fitted in models.trained])
  else:
    plan = fit.Plan(0, 1, 1, 1, 1e-3, span)
    mapped = _build(models.name, models.outputs, plan, form)
    rows = jnp.broadcast_to(jnp.arange(networks), (count, networks))
    tasks = fit.Task(*(jnp.zeros(count, jnp.int32) for _ in fit.Task._fields)
                     )._replace(test_N=rows)
    said = np.asarray(mapped[2](shared, tasks, models.trained))
  said = _finish(said, regressed, *(
      np.tile(s, models.members) for s in (models.centers, models.scales)))
  said = said.reshape((models.members, models.folds) + said.shape[1:]).mean(0)
  return said.reshape(models.folds, networks, -1, models.outputs)


class Frame(NamedTuple):
  """What all networks that are read have in common; see `find_frame`."""
  number_P: np.ndarray  # int32, the number of each part that occurs
  parts: int  # how many occur
  longest: int  # values of the longest region

  def count(self, length, most):
    """No more windows than there are different ones."""
    return min(most, self.longest - length + 1)


def find_frame(parts_AxP, bounds):
  """The `Frame` of regions; parts that lie in none of them have no number.

  Args:
    parts_AxP: the tensor of each value, by layout.
    bounds: (low, high, layout) of the regions there are.
  """
  found = set()
  for low, high, a in bounds:
    found.update(np.unique(parts_AxP[a, low:high]))
  number_P = np.zeros(parts_AxP.max() + 1, np.int32)
  number_P[sorted(found)] = np.arange(len(found))
  return Frame(number_P, len(found),
               int(max(high - low for low, high, _ in bounds)))


def describe_networks(source, region, looks, frame=None):
  """Statistics of whole networks, the mean of their windows': [M * E, F]."""
  bank, _ = _share(settings.LOGISTIC, source, region,
                   looks._replace(drawn=1), jax.random.key(0), frame)
  there = ~np.isnan(bank.even_MxExSxF)
  sums = np.where(there, bank.even_MxExSxF, 0).sum(2, dtype=np.float64)
  rows = np.where(there.any(2), sums / np.maximum(there.sum(2), 1), np.nan)
  return rows.reshape(-1, rows.shape[-1])


def _share(name, source, region, looks, key, frame=None):
  """What all models of a classifier see, and the static form of its view."""
  if frame is None:
    frame = find_frame(np.asarray(source.parts_AxP), set(zip(
        region.low_M.tolist(), region.high_M.tolist(),
        np.asarray(source.layout_M).tolist())))
  even = frame.count(looks.length, looks.even)
  whole = source, jnp.asarray(region.low_M), jnp.asarray(region.high_M)
  if name == settings.MAJORITY:
    nothing = np.zeros(source.weights_MxExP.shape[:2] + (even, 1), np.float32)
    return windows.Bank(nothing, nothing), None
  if name in settings.STATISTICS:
    bank = _fill(source, region, looks, key, frame, statistics.describe)
    return _add_kernels(bank, source, region, looks, frame), None
  if name == settings.FAST:
    return _fill(source, region, looks, key, frame, features.describe), None
  if name == settings.CNN:
    return whole, (looks.length, even)
  if name == settings.TRANSFORMER:
    if not looks.layout:
      return whole, (looks.length, even, 1, ())
    return whole, (looks.length, even, frame.parts,
                   tuple(frame.number_P.tolist()))
  return whole, equivariant.plan(looks.tensors[0])


@functools.lru_cache(maxsize=8)  # cells of one shape share what is compiled
def _build(name, outputs, plan, form):
  """`fit.map_fit`; `plan.steps` is of no account, `form` is of `_share`."""
  view, more = {
      settings.FAST: lambda: (windows.look_up(), ()),
      settings.CNN: lambda: (windows.cut(*form), ()),
      settings.TRANSFORMER: lambda: (transformer.cut(*form), (form[2],)),
      settings.EQUIVARIANT: lambda: (equivariant.look(), (form,)),
  }[name]()
  if name in (settings.TRANSFORMER, settings.EQUIVARIANT):
    # Of one window an epoch, more looks would be the same again.
    different = plan.span * (form[1] if name == settings.TRANSFORMER else 1)
    view = view._replace(looks=min(fit.LOOKS, different))
  return fit.map_fit(
      fit.make_fit(classifiers.make(name, outputs, more), view, plan))


def _finish(said, regressed, centers, scales):
  """Log-probabilities, or the target's own unit; the first axis is models."""
  if not regressed:
    return np.asarray(jax.nn.log_softmax(said))
  center, scale = (s.reshape(-1, 1, 1, 1, 1) for s in (centers, scales))
  return said * scale + center


def _fill(source, region, looks, key, frame, by):
  """The `windows.Bank` of a region, windows described as `by` does."""
  low_M, high_M = jnp.asarray(region.low_M), jnp.asarray(region.high_M)
  number_P, parts = np.zeros(0, np.int32), min(STRETCHES, looks.length)
  if looks.layout:
    number_P, parts = frame.number_P, frame.parts
  describe = functools.partial(
      windows.describe, source, number_P=jnp.asarray(number_P),
      length=looks.length, parts=parts, by=by)
  networks, snapshots = source.weights_MxExP.shape[:2]
  even_MxS = jax.vmap(lambda low, high: windows.space_starts(
      low, high, looks.length, frame.count(looks.length, looks.even)))(
          low_M, high_M)
  even = describe(jnp.repeat(even_MxS[:, None], snapshots, 1))
  drawn = frame.count(looks.length, looks.drawn)
  if frame.longest == looks.length:
    return windows.Bank(even, even)  # there is one window only
  shape = (networks, snapshots, drawn)
  low, high = (jnp.broadcast_to(x_M[:, None, None], shape)
               for x_M in (low_M, high_M))
  return windows.Bank(
      describe(windows.draw_starts(key, low, high, looks.length)), even)


def _add_kernels(bank, source, region, looks, frame):
  """Spectra of whole kernels, where there is one window and it may be known."""
  bank = windows.Bank(*map(np.asarray, bank))
  if (not looks.layout or frame.longest > looks.length
      or not statistics.list_kernels(looks.tensors)):
    return bank
  spectra = statistics.measure_kernels(
      source.weights_MxExP, source.layout_M, looks.tensors, region.low_M,
      region.high_M)
  even = np.concatenate([bank.even_MxExSxF, spectra[:, :, None]], -1)
  return windows.Bank(even, even)


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


def _fit_each(name, bank, tasks, outputs, plan, key, progress, kept):
  """Fits one model after the other; returns as `_run_in_parts`."""
  models, said, valid, trained = tasks.trains.size, [], [], []
  bank = windows.Bank(*map(np.asarray, bank))
  for n in range(models):
    task = jax.tree.map(lambda x, n=n: x[n], tasks)
    span = slice(task.first, task.first + plan.span)

    def look(rows_N, described, task=task, span=span):
      rows = described[rows_N, span]
      labels = np.broadcast_to(task.labels_M[rows_N, None, None],
                               rows.shape[:3])
      return rows.reshape(-1, rows.shape[-1]), labels.ravel()

    seed = int(jax.random.bits(jax.random.fold_in(key, n)) >> 1)
    fitted = baselines.fit(
        name, _thin(name, look(task.train_N[:task.trains], bank.drawn_MxExRxF)),
        look(task.valid_N[:task.valids], bank.even_MxExSxF), outputs, seed)
    said.append(_say_rows(fitted, bank.even_MxExSxF[task.test_N, span]))
    if n < kept:
      trained.append(fitted)
      valid.append(_say_rows(fitted, bank.even_MxExSxF[task.valid_N, span]))
    progress(n, models, 1, models - n - 1)
  return np.stack(said), trained, np.stack(valid) if valid else None


def _thin(name, rows):
  """At most so many rows as a support vector machine can be fitted to soon."""
  count = len(rows[1])
  if name != settings.SVM or count <= ROWS:
    return rows
  at = np.linspace(0, count - 1, ROWS).astype(int)
  return tuple(x[at] for x in rows)


def _say_rows(fitted, rows_NxExSxF):
  """What a fitted rung says of described windows: [N, E, S, O]."""
  shape = rows_NxExSxF.shape[:3]
  rows = np.asarray(rows_NxExSxF).reshape(np.prod(shape), -1)
  return baselines.say(fitted, rows).reshape(shape + (fitted.outputs,))


def _run_in_parts(mapped, shared, tasks, keys, plan, looks, progress, kept):
  """Trains as many models at once as memory allows, all parts of one size.

  Returns:
    (outputs of the test networks of all models, the variables of the first
    `kept`, and their outputs of the validation networks).
  """
  models = len(keys)
  one = jax.eval_shape(mapped[0], shared, _take(tasks, [0]), keys[:1])
  size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(one.best))
  size *= 5  # variables, two moments, the best ones, gradients
  if not isinstance(shared, windows.Bank):
    size += 400 * plan.batch * looks.length  # activations of the cnn, about
  parts = -(-models // max(1, MEMORY // size))
  width = -(-models // parts)
  said, trained, valid = [], [], []
  for begin in range(0, models, width):
    rows = np.minimum(np.arange(begin, begin + width), models - 1)
    some = _take(tasks, rows)
    variables = fit.train(
        mapped, shared, some, keys[rows], plan,
        functools.partial(progress, begin, models))
    said.append(np.asarray(mapped[2](shared, some, variables)))
    if begin < kept:
      trained.append(jax.tree.map(np.asarray, variables))
      valid.append(np.asarray(mapped[2](
          shared, some._replace(test_N=some.valid_N), variables)))
  if kept:
    trained = jax.tree.map(lambda *x: np.concatenate(x)[:kept], *trained)
    valid = np.concatenate(valid)[:kept]
  return np.concatenate(said)[:models], trained, valid


def _take(tasks, rows):
  return jax.tree.map(lambda x: jnp.asarray(x[rows]), tasks)


def _gather(said_FxNxExSxO, rows_FxN, counts_F):
  """Every network's outputs, from the fold on whose side it was."""
  rows, folds, outputs = [], [], []
  for f, n in enumerate(counts_F):
    rows.append(rows_FxN[f, :n])
    folds.append(np.full(n, f))
    outputs.append(said_FxNxExSxO[f, :n])
  rows_T = np.concatenate(rows)
  order = np.argsort(rows_T)
  outputs = np.concatenate(outputs)[order]
  return Decisions(rows_T[order], np.concatenate(folds)[order],
                   outputs.reshape(len(rows_T), -1, outputs.shape[-1]))

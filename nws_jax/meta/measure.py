"""Trains meta-classifiers for what is to be found out, and lets them decide.

A `Trial` is one question: these labels, from this place, with these networks
held back. Its folds and members, and all trials that look alike, are trained
together.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax.meta import (
  classifiers,
  equivariant,
  features,
  fit,
  fitted,
  settings,
  statistics,
  transformer,
  windows,
)

MEMORY = 1 << 30  # bytes that models trained at once may take, about
LANES = {'cpu': 25}  # models that train at once where more are no faster
STRETCHES = 16  # parts of a window whose layout must not be known
_FEW = 30  # trials whose features may be padded to any width


class Looks(NamedTuple):
  """What of a network is looked at."""
  length: int  # of a window
  even: int  # windows that decide together, at most
  drawn: int  # windows of a snapshot that descriptions are trained on, at most
  layout: bool  # whether a classifier may know the tensors
  tensors: tuple = ()  # of each layout its `layouts.Tensor`s


class Frame(NamedTuple):
  """What all networks of a place have in common; see `find_frame`."""
  number_P: np.ndarray  # int32, the number of each part that occurs
  parts: int  # how many occur
  longest: int  # values of the longest region


class Place(NamedTuple):
  """What models see of every network: windows in a region of its vector."""
  source: windows.Source
  region: windows.Region
  looks: Looks
  pairs_Mx2: Any = None  # rows of `source` that are compared, if any are
  seed: int = 0  # of the windows drawn for training
  frame: Any = None  # `Frame` of other networks that these are read like


class Numbers(NamedTuple):
  """A `Place` of no windows but a few numbers of each network, for fast."""
  numbers_MxF: np.ndarray


class Trial(NamedTuple):
  """One question, answered by models of their own."""
  place: int  # in the list of places
  values_FxM: np.ndarray  # int classes or floats, as each split has them
  sides: windows.Sides
  span: int  # snapshots that are used together
  first: int = 0  # the first of those trained on
  tests: tuple = (0,)  # the first ones of those tested on
  seed: int = 0


class Decisions(NamedTuple):
  """What the models say of networks they were not fitted to.

  `outputs` are log-probabilities of classes, or values of the target.
  """
  rows_T: np.ndarray  # the tested networks
  folds_T: np.ndarray
  true_T: np.ndarray  # what there is to say of them
  outputs_TxSxO: Any  # S: all windows of all snapshots


class Outcome(NamedTuple):
  """A trial's decisions: for each of its tests, and on validation networks."""
  tested: list
  valid: Any  # None unless asked for
  models: Any = None  # `Models`, None unless asked for


class Models(NamedTuple):
  """What was trained for a trial: in the order (member, fold)."""
  name: str
  looks: Looks
  outputs: int
  folds: int
  members: int
  trained: Any  # variables [members * folds, ...], or `baselines.Fitted`s
  centers: np.ndarray  # of a regressed target, one a fold
  scales: np.ndarray


def decide(places, trials, outputs, *, name, plan, key, progress, members=1,
           validate=False, keep=0):
  """Trains every model, and decides for every tested network.

  Args:
    places: `Place` or `Numbers`.
    trials: `Trial`s.
    outputs: classes, or 1.
    name: the classifier.
    plan: span -> `fit.Plan`.
    key: consumed.
    members: models of each task whose outputs are averaged: on this few
      networks one model's start alone moves its accuracy by points. What is
      fitted without gradients has one start.
    progress: called with (models done, models, rounds done, models to go),
      the last two of the group that trains now.
    validate: whether validation networks are decided too.
    keep: of how many trials, the first ones, the models are returned.

  Returns:
    An `Outcome` for each trial.
  """
  fill_key, key = jax.random.split(key)
  members = 1 if name in settings.FITTED else members
  sizes = [members * len(t.sides.trains_F) for t in trials]
  begins, outcomes = _number(trials, sizes), [None] * len(trials)
  done = 0
  for some, kind, span in _group(places, trials, name):
    shared, offsets = _share(places, trials, some, kind, fill_key)
    tasks, scales = _make_tasks(trials, some, offsets, members)
    keys = jnp.concatenate([
        jax.vmap(lambda n, t=t: jax.random.fold_in(
            jax.random.fold_in(key, trials[t].seed), n))(
                jnp.arange(begins[t], begins[t] + sizes[t])) for t in some])
    now = plan(span)
    asked = _ask(trials, some, offsets, tasks, members, validate)
    kept = sum(sizes[t] for t in some if t < keep)
    show = functools.partial(
        _show, progress, done + sum(sizes[t] for t in some), sum(sizes))
    if kind[0] in settings.FITTED:
      said, trained = fitted.run(
          kind[0], shared, tasks, asked, keys, outputs, span, kept, show)
    else:
      mapped = _build(kind[0], outputs, now._replace(steps=0), kind[1])
      said, trained = _run_in_lanes(
          mapped, shared, tasks, asked, keys, now, kind[1], kept, show)
    _collect(outcomes, trials, some, places, said, scales, members, validate)
    _keep(outcomes, trials, [t for t in some if t < keep], places, kind[0],
          outputs, members, trained, scales)
    done += sum(sizes[t] for t in some)
  return outcomes


def _show(progress, end, models, rounds, going):
  progress(end - going, models, rounds, going)


def _number(trials, sizes):
  """The number of each trial's first model among those of its seed."""
  begins, ends = [], {}
  for trial, size in zip(trials, sizes):
    begins.append(ends.get(trial.seed, 0))
    ends[trial.seed] = begins[-1] + size
  return begins


def _group(places, trials, name):
  """Trials that train together: (trials, (classifier, form), span).

  Trials on features of one kind share a program, narrower ones being padded,
  as long as what they look at fits into `MEMORY`.
  """
  groups, found = [], {}
  for t, trial in enumerate(trials):
    place = places[trial.place]
    form = _form(place, name)
    if form or name in settings.FITTED:
      kind, cost, alike = (name, form), 0, (trial.place, trial.span)
    else:
      even, parts, cost = _size(place)
      kind = (settings.FAST, None)
      # A few models are trained in less time than a program is compiled.
      width = (parts.bit_length() + 1) // 2 if len(trials) > _FEW else (
          isinstance(place, Place))
      alike = (even > 1, width, trial.span)
    if alike not in found or found[alike][1] + cost > MEMORY:
      found[alike] = [([], kind, trial.span), 0, set()]
      groups.append(found[alike][0])
    group, total, seen = found[alike]
    group[0].append(t)
    if trial.place not in seen:
      seen.add(trial.place)
      found[alike][1] = total + cost
  return groups


def _form(place, name):
  """What is static of how a classifier sees vectors: the length, and more.

  None where it sees a description of them instead, or no vectors at all.
  """
  if isinstance(place, Numbers):
    return None
  length, even = place.looks.length, count_even(place)
  if name == settings.CNN:
    return length, even
  if name == settings.TRANSFORMER:
    number_P, parts, _ = get_frame(place)
    if not place.looks.layout:
      number_P, parts = np.zeros(0, int), 1
    return length, even, parts, tuple(number_P.tolist())
  if name == settings.EQUIVARIANT:
    return length, equivariant.plan(place.looks.tensors[0])
  return None


def _size(place):
  """(windows that decide, parts, bytes) of a place's `windows.Bank`."""
  if isinstance(place, Numbers):
    return 1, 1, place.numbers_MxF.size * 8
  looks, region = place.looks, place.region
  even, drawn = (_count(place, n) for n in (looks.even, looks.drawn))
  parts = (get_frame(place).parts if looks.layout
           else min(STRETCHES, looks.length))
  rows = len(region.low_M if place.pairs_Mx2 is None else place.pairs_Mx2)
  snapshots = place.source.weights_MxExP.shape[1]
  return (even, parts, rows * snapshots * (even + drawn) * parts
          * features.PER_PART * 4)


def _share(places, trials, some, kind, key):
  """What the models of a group share, and where each place begins in it.

  Banks of places are laid behind one another along the axis of snapshots.
  """
  numbers = list(dict.fromkeys(trials[t].place for t in some))
  if kind[1]:
    return share_vectors(places[numbers[0]], *kind), {numbers[0]: 0}
  banks = [fill(places[n], kind[0], key) for n in numbers]
  starts = np.cumsum([0] + [b.even_MxExSxF.shape[1] for b in banks])
  return (windows.Bank(*(_lay([b[i] for b in banks]) for i in (0, 1))),
          dict(zip(numbers, starts.tolist())))


def share_vectors(place, name, form):
  """What models that see the vectors themselves share."""
  if name == settings.EQUIVARIANT:
    return equivariant.describe(place.source.weights_MxExP, form[1])
  return (place.source, jnp.asarray(place.region.low_M),
          jnp.asarray(place.region.high_M))


def _lay(parts_MxExSxF):
  """Joins along E; S is filled up by repetition, F by NaN, the unseen."""
  count, width = (max(p.shape[i] for p in parts_MxExSxF) for i in (2, 3))
  return jnp.concatenate([
      jnp.pad(p[:, :, np.arange(count) % p.shape[2]],
              ((0, 0),) * 3 + ((0, width - p.shape[3]),),
              constant_values=np.nan) for p in parts_MxExSxF], 1)


@functools.lru_cache(maxsize=8)  # cells of one shape share what is compiled
def _build(name, outputs, plan, form):
  """`fit.map_fit`; `plan.steps` is of no account, `form` is of `_form`."""
  if name == settings.CNN:
    view, more = windows.cut(*form), ()
  elif name == settings.TRANSFORMER:
    view, more = transformer.cut(*form), (form[2],)
  elif name == settings.EQUIVARIANT:
    view, more = equivariant.look(), (form[1],)
  else:
    view, more = windows.look_up(), ()
  return fit.map_fit(
      fit.make_fit(classifiers.make(name, outputs, more), view, plan))


def predict(models, place):
  """Outputs of kept Flax models for all networks: [models, M, E, S, O].

  Args:
    models: `Models`.
    place: `Place`, with the `Frame` that they were trained in.
  """
  shared, speak = prepare(models, place)
  return np.asarray(speak(
      shared, models.trained, place.source.weights_MxExP.shape[0]))


def prepare(models, place):
  """(what the models share, speak), as of `predict`.

  speak(shared, trained, networks) -> outputs: of the like of both, so of other
  networks or of some of the models; it can be differentiated.
  """
  form, span = _form(place, models.name), place.source.weights_MxExP.shape[1]
  if form:
    shared = share_vectors(place, models.name, form)
  else:
    width = models.trained['encoder']['knots'].shape[-1]
    bank = fill(place, models.name, jax.random.key(0))
    shared = windows.Bank(*(jnp.pad(
        x, ((0, 0),) * 3 + ((0, width - x.shape[-1]),),
        constant_values=np.nan) for x in bank))
  mapped = _build(models.name, models.outputs,
                  fit.Plan(0, 1, 1, 1, 1e-3, span), form)

  def speak(shared, trained, networks):
    count = len(jax.tree.leaves(trained)[0])
    nothing = jnp.zeros(count, jnp.int32)
    rows = jnp.broadcast_to(jnp.arange(networks)[None], (count, networks))
    task = fit.Task(*[nothing] * len(fit.Task._fields))._replace(test_N=rows)
    return mapped[2](shared, task, trained)

  return shared, speak


def count_even(place):
  """How many windows of a snapshot decide together."""
  return (1 if isinstance(place, Numbers)
          else _count(place, place.looks.even))


def _count(place, most):
  """No more windows than there are different ones."""
  return min(most, get_frame(place).longest - place.looks.length + 1)


def get_frame(place):
  """The `Frame` that a place is read in: its own, if it has no other."""
  if place.frame is not None:
    return place.frame
  region = place.region
  return find_frame(np.asarray(place.source.parts_AxP), set(zip(
      region.low_M.tolist(), region.high_M.tolist(),
      np.asarray(place.source.layout_M).tolist())))


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


def fill(place, name, key):
  """The `windows.Bank` of a place: what `fast`, or a fitted rung, looks at."""
  if isinstance(place, Numbers):
    numbers = jnp.asarray(place.numbers_MxF, jnp.float32)[:, None, None]
    return windows.Bank(numbers, numbers)
  source, region, looks, pairs_Mx2, seed, _ = place
  key = jax.random.fold_in(key, seed)
  networks, snapshots = source.weights_MxExP.shape[:2]
  if name == settings.MAJORITY:
    rows = networks if pairs_Mx2 is None else len(pairs_Mx2)
    nothing = jnp.zeros((rows, snapshots, count_even(place), 1))
    return windows.Bank(nothing, nothing)
  frame = get_frame(place)
  low_M, high_M = jnp.asarray(region.low_M), jnp.asarray(region.high_M)
  number_P, parts = np.zeros(0, np.int32), min(STRETCHES, looks.length)
  if looks.layout:
    number_P, parts = frame.number_P, frame.parts
  describe = functools.partial(
      windows.describe, source, number_P=jnp.asarray(number_P),
      length=looks.length, parts=parts, by=statistics.describe
      if name in settings.STATISTICS else features.describe)
  even_MxS = jax.vmap(lambda low, high: windows.space_starts(
      low, high, looks.length, count_even(place)))(low_M, high_M)
  even = describe(jnp.repeat(even_MxS[:, None], snapshots, 1))
  if name in settings.STATISTICS and _sees_kernels(place):
    even = jnp.concatenate([even, statistics.measure_kernels(
        source.weights_MxExP, source.layout_M, looks.tensors, region.low_M,
        region.high_M)[:, :, None]], -1)
  if pairs_Mx2 is not None:  # how far two networks are apart, window by window
    even = jnp.abs(even[pairs_Mx2[:, 0]] - even[pairs_Mx2[:, 1]])
    return windows.Bank(even, even)
  drawn = _count(place, looks.drawn)
  if frame.longest == looks.length:
    return windows.Bank(even, even)  # there is one window only
  shape = (networks, snapshots, drawn)
  low, high = (jnp.broadcast_to(x_M[:, None, None], shape)
               for x_M in (low_M, high_M))
  return windows.Bank(
      describe(windows.draw_starts(key, low, high, looks.length)), even)


def _sees_kernels(place):
  """Whether the one window there is may be known to hold whole kernels."""
  return (place.looks.layout and get_frame(place).longest
          == place.looks.length and statistics.list_kernels(
              place.looks.tensors))


def _make_tasks(trials, some, offsets, members):
  """Tasks in the order (trial, member, fold), and each one's target scale."""
  tasks, scales = [], []
  for trial in (trials[t] for t in some):
    folds, sides = [], trial.sides
    for f, values_M in enumerate(trial.values_FxM):
      center, scale = 0.0, 1.0
      labels_M = values_M.astype(np.int32)
      if values_M.dtype.kind == 'f':
        train = values_M[sides.train_FxN[f, :sides.trains_F[f]]]
        center, scale = train.mean(), max(train.std(), 1e-12)
        labels_M = ((values_M - center) / scale).astype(np.float32)
      scales.append((center, scale))
      folds.append(fit.Task(
          labels_M, np.int32(offsets[trial.place] + trial.first),
          sides.train_FxN[f], sides.trains_F[f],
          sides.valid_FxN[f], sides.valids_F[f], sides.test_FxN[f]))
    tasks += folds * members
  longest = {n: max(getattr(t, n).size for t in tasks)
             for n in ('train_N', 'valid_N', 'test_N')}
  tasks = [t._replace(**{n: np.resize(getattr(t, n), size)
                         for n, size in longest.items()}) for t in tasks]
  return jax.tree.map(lambda *x: np.stack(x), *tasks), np.array(scales)


def _ask(trials, some, offsets, tasks, members, validate):
  """What the models predict: a `Task` for each test, then the validation."""
  most = max(len(trials[t].tests) for t in some)
  models = [(t, offsets[trials[t].place]) for t in some
            for _ in range(members * len(trials[t].sides.trains_F))]
  asked = [tasks._replace(first=np.array(
      [offset + np.resize(trials[t].tests, most)[n] for t, offset in models],
      np.int32)) for n in range(most)]
  return asked + [tasks._replace(test_N=tasks.valid_N)] * validate


def _run_in_lanes(mapped, shared, tasks, asked, keys, plan, form, kept,
                  progress):
  """Trains as many models at once as memory allows.

  Returns:
    (outputs [models, N, span, S, O] for each of `asked`, the variables of the
    first `kept` models).
  """
  models = len(keys)
  one = jax.eval_shape(mapped[0], shared, fit.take(tasks, [0]), keys[:1])
  size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(one.best))
  size *= 5  # variables, two moments, the best ones, gradients
  if form:
    size += 400 * plan.batch * form[0]  # activations of the cnn, about
  lanes = min(models, max(1, MEMORY // size),
              LANES.get(jax.default_backend(), models))
  chunk = max(lanes, 5 * MEMORY // size // lanes * lanes)  # kept on the host
  said, trained = [[] for _ in asked], []
  for first in range(0, models, chunk):
    some = np.arange(first, min(first + chunk, models))
    best = fit.train(
        mapped, shared, fit.take(tasks, some), keys[some], plan,
        lambda rounds, going, later=models - some[-1] - 1: progress(
            rounds, going + int(later)), lanes)
    for begin in range(0, len(some), lanes):
      rows = np.minimum(np.arange(begin, begin + lanes), len(some) - 1)
      for outputs, task in zip(said, asked):
        outputs.append(np.asarray(mapped[2](
            shared, fit.take(task, some[rows]), fit.take(best, rows)))[
                :len(some) - begin])
    if first < kept:
      trained.append(best)
  return [np.concatenate(x) for x in said], (jax.tree.map(
      lambda *x: np.concatenate(x)[:kept], *trained) if kept else None)


def _collect(outcomes, trials, some, places, said, scales, members, validate):
  """Cuts a group's outputs into the outcomes of its trials."""
  begin = scale = 0
  for t in some:
    trial, folds = trials[t], len(trials[t].sides.trains_F)
    end, scale_end = begin + members * folds, scale + folds
    center_F, scale_F = scales[scale:scale_end].T.reshape(2, -1, 1, 1, 1, 1)
    even = count_even(places[trial.place])
    outputs = []
    for part in said:
      part = part[begin:end, ..., :even, :]
      if trial.values_FxM.dtype.kind == 'i':
        part = np.asarray(jax.nn.log_softmax(part))
      mean = part.reshape((members, folds) + part.shape[1:]).mean(0)
      outputs.append(mean * scale_F + center_F
                     if trial.values_FxM.dtype.kind == 'f' else mean)
    sides = trial.sides
    outcomes[t] = Outcome(
        [_gather(o, trial, sides.test_FxN, sides.tests_F)
         for o in outputs[:len(trial.tests)]],
        _gather(outputs[-1], trial, sides.valid_FxN, sides.valids_F)
        if validate else None)
    begin, scale = end, scale_end


def _keep(outcomes, trials, some, places, name, outputs, members, trained,
          scales):
  """Adds their `Models` to the outcomes of `some`, a group's first trials."""
  begin = scale = 0
  for t in some:
    folds = len(trials[t].sides.trains_F)
    end = begin + members * folds
    center_F, scale_F = scales[scale:scale + folds].T
    outcomes[t] = outcomes[t]._replace(models=Models(
        name, places[trials[t].place].looks, outputs, folds, members,
        trained[begin:end] if name in settings.FITTED
        else jax.tree.map(lambda x, a=begin, b=end: x[a:b], trained),
        center_F, scale_F))
    begin, scale = end, scale + folds


def _gather(said_FxNxExSxO, trial, rows_FxN, counts_F):
  """Every network's outputs, from the fold that it was held back from."""
  folds_T = np.repeat(np.arange(len(counts_F)), counts_F)
  rows_T = np.concatenate([r[:n] for r, n in zip(rows_FxN, counts_F)])
  outputs = np.concatenate(
      [said[:n] for said, n in zip(said_FxNxExSxO, counts_F)])
  order = np.argsort(rows_T, kind='stable')
  rows_T, folds_T = rows_T[order], folds_T[order]
  return Decisions(
      rows_T, folds_T, trial.values_FxM[folds_T, rows_T],
      outputs[order].reshape(len(rows_T), -1, outputs.shape[-1]))

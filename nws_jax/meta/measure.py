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

from nws_jax.meta import fit, fitted, lanes, settings, views, windows

_FEW = 30  # trials whose features may be padded to any width


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
  looks: views.Looks
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
    places: `views.Place` or `views.Numbers`.
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
      mapped = lanes.build(kind[0], outputs, now._replace(steps=0), kind[1])
      said, trained = lanes.run(
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
  as long as what they look at fits into `lanes.MEMORY`.
  """
  groups, found = [], {}
  for t, trial in enumerate(trials):
    place = places[trial.place]
    form = views.find_form(place, name)
    if form or name in settings.FITTED:
      kind, cost, alike = (name, form), 0, (trial.place, trial.span)
    else:
      even, parts, cost = views.measure_size(place)
      kind = (settings.FAST, None)
      # A few models are trained in less time than a program is compiled.
      width = (parts.bit_length() + 1) // 2 if len(trials) > _FEW else (
          isinstance(place, views.Place))
      alike = (even > 1, width, trial.span)
    if alike not in found or found[alike][1] + cost > lanes.MEMORY:
      found[alike] = [([], kind, trial.span), 0, set()]
      groups.append(found[alike][0])
    group, total, seen = found[alike]
    group[0].append(t)
    if trial.place not in seen:
      seen.add(trial.place)
      found[alike][1] = total + cost
  return groups


def _share(places, trials, some, kind, key):
  """What the models of a group share, and where each place begins in it.

  Banks of places are laid behind one another along the axis of snapshots.
  """
  numbers = list(dict.fromkeys(trials[t].place for t in some))
  if kind[1]:
    return views.share_vectors(places[numbers[0]], *kind), {numbers[0]: 0}
  banks = [views.fill(places[n], kind[0], key) for n in numbers]
  starts = np.cumsum([0] + [b.even_MxExSxF.shape[1] for b in banks])
  return (windows.Bank(*(views.join([b[i] for b in banks]) for i in (0, 1))),
          dict(zip(numbers, starts.tolist())))


def predict(models, place):
  """Outputs of kept Flax models for all networks: [models, M, E, S, O].

  Args:
    models: `Models`.
    place: `Place`, with the `views.Frame` that they were trained in.
  """
  shared, speak = prepare(models, place)
  return np.asarray(speak(
      shared, models.trained, place.source.weights_MxExP.shape[0]))


def prepare(models, place):
  """(what the models share, speak), as of `predict`.

  speak(shared, trained, networks) -> outputs: of the like of both, so of other
  networks or of some of the models; it can be differentiated.
  """
  form = views.find_form(place, models.name)
  span = place.source.weights_MxExP.shape[1]
  if form:
    shared = views.share_vectors(place, models.name, form)
  else:
    width = models.trained['encoder']['knots'].shape[-1]
    bank = views.fill(place, models.name, jax.random.key(0))
    shared = windows.Bank(*(jnp.pad(
        x, ((0, 0),) * 3 + ((0, width - x.shape[-1]),),
        constant_values=np.nan) for x in bank))
  mapped = lanes.build(models.name, models.outputs,
                  fit.Plan(0, 1, 1, 1, 1e-3, span), form)

  def speak(shared, trained, networks):
    count = len(jax.tree.leaves(trained)[0])
    nothing = jnp.zeros(count, jnp.int32)
    rows = jnp.broadcast_to(jnp.arange(networks)[None], (count, networks))
    task = fit.Task(*[nothing] * len(fit.Task._fields))._replace(test_N=rows)
    return mapped[2](shared, task, trained)

  return shared, speak


def _make_tasks(trials, some, offsets, members):
  """Tasks in the order (trial, member, fold), and each one's target scale."""
  tasks, scales = [], []
  for trial in (trials[t] for t in some):
    folds, sides = [], trial.sides
    taught_N = np.unique(np.concatenate([
        rows[:n] for rows, n in (*zip(sides.train_FxN, sides.trains_F),
                                 *zip(sides.valid_FxN, sides.valids_F))]))
    for f, values_M in enumerate(trial.values_FxM):
      center, scale = 0.0, 1.0
      labels_M = values_M.astype(np.int32)
      weights_M = np.ones(len(values_M), np.float32)
      if values_M.dtype.kind == 'f':
        train = values_M[sides.train_FxN[f, :sides.trains_F[f]]]
        center, scale = train.mean(), max(train.std(), 1e-12)
        labels_M = ((values_M - center) / scale).astype(np.float32)
      else:
        weights_M = fit.weigh(labels_M, (
            sides.train_FxN[f, :sides.trains_F[f]],
            sides.valid_FxN[f, :sides.valids_F[f]]), taught_N)
      scales.append((center, scale))
      folds.append(fit.Task(
          labels_M, np.int32(offsets[trial.place] + trial.first),
          sides.train_FxN[f], sides.trains_F[f],
          sides.valid_FxN[f], sides.valids_F[f], sides.test_FxN[f], weights_M))
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


def _collect(outcomes, trials, some, places, said, scales, members, validate):
  """Cuts a group's outputs into the outcomes of its trials."""
  begin = scale = 0
  for t in some:
    trial, folds = trials[t], len(trials[t].sides.trains_F)
    end, scale_end = begin + members * folds, scale + folds
    center_F, scale_F = scales[scale:scale_end].T.reshape(2, -1, 1, 1, 1, 1)
    even = views.count_even(places[trial.place])
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

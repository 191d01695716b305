"""Trains meta-classifiers for what is to be found out, and lets them decide.

The folds and members of a trial, and all trials that look alike, are trained
together.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax.meta import settings
from nws_jax.meta.data import windows
from nws_jax.meta.training import fit, fitted, lanes, views
from nws_jax.meta.training import trials as trials_lib

_FEW = 30  # trials whose features may be padded to any width


def decide(places, trials, outputs, *, name, plan, key, progress, members=1,
           validate=False, keep=0):
  """Trains every model, and decides for every tested network.

  Args:
    places: `views.Place` or `views.Numbers`.
    trials: `trials.Trial`s.
    outputs: classes, or 1.
    name: the classifier.
    plan: span -> `fit.Plan`.
    key: consumed.
    members: models of each task whose outputs are averaged: on this few
      networks one model's start alone moves its accuracy by points. What is
      fitted without gradients has one start.
    progress: called with (models done, models, rounds done), the last of the
      group that trains now.
    validate: whether validation networks are decided too.
    keep: of how many trials, the first ones, the models are returned.

  Returns:
    An `trials.Outcome` for each trial.
  """
  fill_key, key = jax.random.split(key)
  members = 1 if name in settings.FITTED else members
  sizes = [members * len(t.sides.trains_F) for t in trials]
  begins, outcomes = _number(trials, sizes), [None] * len(trials)
  done = 0
  for some, kind, span in _group(places, trials, name):
    shared, offsets = _share(places, trials, some, kind, fill_key)
    tasks, units = trials_lib.make_tasks(trials, some, offsets, members)
    keys = jnp.concatenate([
        jax.vmap(lambda n, t=t: jax.random.fold_in(
            jax.random.fold_in(key, trials[t].seed), n))(
                jnp.arange(begins[t], begins[t] + sizes[t])) for t in some])
    now = plan(span)
    asked = trials_lib.ask(trials, some, offsets, tasks, members, validate)
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
    trials_lib.collect(
        outcomes, trials, some, places, said, units, members, validate)
    trials_lib.keep(
        outcomes, trials, [t for t in some if t < keep], places, kind[0],
        outputs, members, trained, units)
    done += sum(sizes[t] for t in some)
  return outcomes


def _show(progress, end, models, rounds, going):
  progress(end - going, models, rounds)


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
    _, total, seen = found.get(alike, (None, np.inf, ()))
    if trial.place not in seen and total + cost > lanes.MEMORY:
      found[alike] = [([], kind, trial.span), 0, set()]
      groups.append(found[alike][0])
    group, _, seen = found[alike]
    group[0].append(t)
    if trial.place not in seen:
      seen.add(trial.place)
      found[alike][1] += cost
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
    models: `trials.Models`.
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

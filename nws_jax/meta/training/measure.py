"""Trains the models of trials and collects their predictions.

The folds and members of a trial, and all trials whose inputs are alike, are
trained together.
"""

import functools
from typing import Any, Callable, NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax.meta.classifiers import interface, table
from nws_jax.meta.data import descriptions, regions
from nws_jax.meta.training import cross_validation, estimators, fit, lanes

_FEW = 30  # trials whose features may be padded to any width
Progress = Callable[[int, int, int], None]


class Rules(NamedTuple):
  """How trials are decided."""
  classifier: interface.Classifier
  plan: Callable[[int], fit.Plan]  # of models that use so many snapshots
  outputs: int  # classes, or 1
  # Models of each fold whose outputs are averaged: on so few networks the
  # initialisation of one model alone changes its accuracy by points. Estimators
  # have none.
  members: int = 1
  validate: bool = False  # whether validation networks are predicted too
  keep: int = 0  # the models of so many trials, the first ones, are returned


class _Alike(NamedTuple):
  """Trials whose inputs are alike, so that their models train together."""
  numbers: list[int]  # of the trials
  classifier: interface.Classifier
  shape: Any  # of the inputs; None of descriptions
  span: int


def decide(places: Sequence[regions.AnyPlace],
           trials: Sequence[cross_validation.Trial], rules: Rules,
           key: jax.Array, progress: Progress
           ) -> list[cross_validation.Outcome]:
  """Trains every model and predicts every tested network.

  Args:
    places: where the trials read.
    trials: `cross_validation.Trial`s.
    rules: `Rules`.
    key: consumed.
    progress: called with (models done, models, rounds done), the last of the
      group that trains now.

  Returns:
    The outcome of each trial.
  """
  fill_key, key = jax.random.split(key)
  if isinstance(rules.classifier.training, interface.Estimator):
    rules = rules._replace(members=1)
  sizes = [rules.members * t.folds for t in trials]
  begins = _number(trials, sizes)
  outcomes: list[Any] = [None] * len(trials)
  done = 0
  for alike in _group(places, trials, rules.classifier):
    numbers = alike.numbers
    # 1. What all models of the group share, and each one's task and key.
    shared, offsets = _share(places, trials, alike, fill_key)
    group = cross_validation.Group(
        [trials[t] for t in numbers], alike.classifier, rules.outputs, places,
        offsets, rules.members, rules.validate)
    tasks, units = cross_validation.make_tasks(group)
    keys = jnp.concatenate([
        jax.vmap(lambda n, t=t: jax.random.fold_in(
            jax.random.fold_in(key, trials[t].seed), n))(
                jnp.arange(begins[t], begins[t] + sizes[t])) for t in numbers])
    kept = [t for t in numbers if t < rules.keep]
    job = fit.Job(
        tasks, cross_validation.list_tests(group, tasks), keys,
        rules.outputs, alike.span, sum(sizes[t] for t in kept))

    # 2. Train, and predict.
    outputs, trained = _run(shared, alike, job, rules, functools.partial(
        _show, progress, done + sum(sizes[t] for t in numbers), sum(sizes)))

    # 3. Divide the outputs and the kept models among the trials.
    for t, outcome in zip(numbers, cross_validation.collect(
        group, outputs, units)):
      outcomes[t] = outcome
    for t, models in zip(kept, cross_validation.divide_models(
        group, trained, units, len(kept))):
      outcomes[t] = outcomes[t]._replace(models=models)
    done += sum(sizes[t] for t in numbers)
  return outcomes


def _run(shared: Any, alike: _Alike, job: fit.Job, rules: Rules,
         show: Callable[[int, int], None]) -> tuple[list[np.ndarray], Any]:
  """(outputs for each test, what was trained of the kept models)."""
  if isinstance(alike.classifier.training, interface.Estimator):
    return estimators.run(alike.classifier.training, shared, job, show)
  plan = rules.plan(alike.span)
  # However many steps: they are counted outside of what is compiled.
  programs = lanes.build(alike.classifier, job.outputs, plan._replace(steps=0),
                         alike.shape)
  return lanes.run(programs, shared, job, plan, alike.shape, show)


def _show(progress: Progress, end: int, models: int, rounds: int,
          left: int) -> None:
  progress(end - left, models, rounds)


def _number(trials: Sequence[cross_validation.Trial],
            sizes: Sequence[int]) -> list[int]:
  """The number of each trial's first model among those of its seed."""
  begins: list[int] = []
  ends: dict[int, int] = {}
  for trial, size in zip(trials, sizes):
    begins.append(ends.get(trial.seed, 0))
    ends[trial.seed] = begins[-1] + size
  return begins


class _Open(NamedTuple):
  """Trials that others may join, as long as their banks fit the memory."""
  alike: _Alike
  bytes: int
  places: set[int]


def _group(places: Sequence[regions.AnyPlace],
           trials: Sequence[cross_validation.Trial],
           classifier: interface.Classifier) -> list[_Alike]:
  """Trials that train together.

  Those on features of one kind share a program, narrower ones being padded, as
  long as their banks fit into `lanes.MEMORY`; others share one place.
  """
  found: list[_Alike] = []
  open_: dict[tuple[Any, ...], _Open] = {}
  for t, trial in enumerate(trials):
    place = places[trial.place]
    # Numbers are read by the classifier for numbers, or by an estimator.
    reader = classifier
    if (isinstance(place, regions.Numbers)
        and isinstance(classifier.training, interface.Gradients)):
      reader = table.CLASSIFIERS[table.NUMBERS]
    shape, size = reader.find_shape(place), 0
    key: tuple[Any, ...] = (trial.place, trial.span)
    if (isinstance(reader.inputs, descriptions.Description)
        and isinstance(reader.training, interface.Gradients)):
      bank = descriptions.measure_size(place, reader.inputs)
      # A few models are trained in less time than a program is compiled.
      width = (bank.parts.bit_length() + 1) // 2 if len(trials) > _FEW else (
          isinstance(place, regions.Place))
      key, size = (bank.even > 1, width, trial.span), bank.bytes
    now = open_.get(key)
    if now is None or (trial.place not in now.places
                       and now.bytes + size > lanes.MEMORY):
      now = _Open(_Alike([], reader, shape, trial.span), 0, set())
      found.append(now.alike)
    now.alike.numbers.append(t)
    if trial.place not in now.places:
      now = now._replace(bytes=now.bytes + size)
      now.places.add(trial.place)
    open_[key] = now
  return found


def _share(places: Sequence[regions.AnyPlace],
           trials: Sequence[cross_validation.Trial], alike: _Alike,
           key: jax.Array) -> tuple[Any, dict[int, int]]:
  """What the models share, and where each place begins in it.

  Banks of places are laid behind one another along the axis of snapshots.
  """
  numbers = list(dict.fromkeys(trials[t].place for t in alike.numbers))
  given = alike.classifier.inputs
  if isinstance(given, interface.Vectors):
    place = places[numbers[0]]
    assert isinstance(place, regions.Place)
    return given.share(place, alike.shape), {numbers[0]: 0}
  filled = [descriptions.fill(places[n], given, key) for n in numbers]
  starts = np.cumsum([0] + [b.even_MxExSxF.shape[1] for b in filled])
  return (descriptions.Bank(
      descriptions.join([b.drawn_MxExRxF for b in filled]),
      descriptions.join([b.even_MxExSxF for b in filled])),
          dict(zip(numbers, starts.tolist())))


def predict(models: cross_validation.TrainedModels,
            place: regions.Place) -> np.ndarray:
  """Outputs of kept models for all networks: [models, M, E, S, O].

  Args:
    models: what was trained.
    place: with the `regions.Frame` that they were trained in.
  """
  classifier = models.classifier
  if isinstance(classifier.training, interface.Estimator):
    assert isinstance(classifier.inputs, descriptions.Description)
    features = descriptions.fill(
        place, classifier.inputs, jax.random.key(0)).even_MxExSxF
    return np.stack([estimators.predict(f, features) for f in models.trained])
  shared, predict_all = prepare(models, place)
  return np.asarray(predict_all(
      shared, models.trained, place.source.weights_MxExP.shape[0]))


def prepare(models: cross_validation.TrainedModels, place: regions.Place
            ) -> tuple[Any, Callable[[Any, Any, int], jax.Array]]:
  """(what the models share, a function) of a classifier with gradients.

  The function maps (shared, trained, networks) to outputs: for the like of
  both, so of other networks or of some of the models; it can be
  differentiated.
  """
  classifier = models.classifier
  shape = classifier.find_shape(place)
  if isinstance(classifier.inputs, interface.Vectors):
    shared = classifier.inputs.share(place, shape)
  else:
    # Trained together with other places, a model may know more features.
    assert isinstance(classifier.training, interface.Gradients)
    assert classifier.training.count_features is not None
    one = jax.tree.map(lambda x: x[0], models.trained)
    shared = descriptions.widen(
        descriptions.fill(place, classifier.inputs, jax.random.key(0)),
        classifier.training.count_features(one))
  programs = lanes.build(
      classifier, models.outputs,
      fit.Plan(0, 1, 1, 1, 1e-3, place.source.weights_MxExP.shape[1]), shape)

  def predict_all(shared: Any, trained: Any, networks: int) -> jax.Array:
    count = len(jax.tree.leaves(trained)[0])
    nothing = jnp.zeros(count, jnp.int32)
    rows = jnp.broadcast_to(jnp.arange(networks)[None], (count, networks))
    task = interface.Task(
        *[nothing] * len(interface.Task._fields))._replace(test_N=rows)
    return programs.predict(shared, task, trained)

  return shared, predict_all

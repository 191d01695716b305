"""The estimate of a request's time and memory, printed before it starts."""

import os
from typing import NamedTuple

from nws_jax import errors, say
from nws_jax.meta import request as requests
from nws_jax.meta import running
from nws_jax.meta.answers import ablation, controls
from nws_jax.meta.classifiers import interface
from nws_jax.meta.data import descriptions, grid

_VALUE = 2e-7  # seconds to describe one value of a window, on one CPU core
_TASK = 500  # bytes of a model's own data, beside four numbers a row


def tell(request: requests.Request, speed: float) -> str:
  """A line: models, work, and an estimate of the time.

  Args:
    request: `request.Request`.
    speed: floating-point operations a second of a large dot.
  """
  s = request.settings
  _, models, span = _count(request)
  plan = running.make_plan(request, span)
  size = (len(request.networks) * request.snapshots
          * request.networks['num_weights'].max())
  steps = (f' of at most {plan.steps} steps' if isinstance(
      request.classifier.training, interface.Gradients) else '')
  return (f'{s.classifier}: {models} models{steps}, {say.size(4 * size)} of '
          f'weights; at most about {say.time(estimate(request, speed))}')


def check_memory(request: requests.Request) -> None:
  """Raises `Wrong` for a request that needs more memory than there is."""
  s, taken, memory = request.settings, count_bytes(request), find_memory()
  if taken > memory:
    counts = ', '.join(f'{name}={getattr(s, name)}' for name in (
        'windows_per_network', 'windows_drawn', 'members', 'grid_members',
        'seeds', 'permutations'))
    raise errors.Wrong(
        f'{counts}: with {len(request.rows)} rows that takes at least '
        f'{say.size(taken)}, but this machine has {say.size(memory)} of '
        'memory. Give less of the largest, or fewer --config.epochs.')


def find_memory() -> int:
  """Bytes of the whole machine."""
  return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def count_bytes(request: requests.Request) -> int:
  """The least memory that a request takes: descriptions, and outputs."""
  s, (places, models, span) = request.settings, _count(request)
  rows = max(len(request.rows), len(request.members))  # pairs may be more
  most = max(_count_windows(p) for p in places)
  even = min(most, max(s.windows_per_network, ablation.POSITIONS
                       if ablation.POSITION in request.axes else 1))
  drawn = min(most, s.windows_drawn) if most > 1 else 0

  # Features of all windows, for a classifier that sees those.
  given, features = request.classifier.inputs, 0
  if isinstance(given, descriptions.Description):
    features = max(map(len, request.tensors)) * given.per_part
  described = 4 * rows * request.snapshots * (even + drawn) * features
  # Outputs of one member of each fold, and the data of each model.
  outputs = 4 * rows * span * even * request.target.outputs
  return (described + models // len(request.sides.trains_F) * outputs
          + models * (16 * rows + _TASK))


def estimate(request: requests.Request, speed: float) -> float:
  """Seconds that a request takes at most, about; arguments as of `tell`."""
  s, classifier = request.settings, request.classifier
  places, models, span = _count(request)
  plan = running.make_plan(request, span)
  networks, seconds = len(request.members), 0.0
  tested = networks / len(request.sides.trains_F)
  describes = isinstance(classifier.inputs, descriptions.Description) and (
      classifier.inputs.describe is not None)
  for place in places:
    here, most = models // len(places), _count_windows(place)
    even, drawn = (min(n, most)
                   for n in (s.windows_per_network, s.windows_drawn))
    if describes:
      seconds += (networks * request.snapshots * (even + drawn * (most > 1))
                  * place.window * _VALUE)
    seconds += classifier.seconds(interface.Work(
        models=here, steps=plan.steps, batch=plan.batch,
        rows=networks * span * drawn, scored=here * tested * span * even,
        window=place.window, outputs=request.target.outputs,
        tensors=request.tensors, speed=speed))
  lengths = {place.window for place in places}  # a program each
  return seconds + classifier.compile_seconds * len(lengths)


class _Counts(NamedTuple):
  """What a request trains."""
  places: list[grid.NamedPlace]
  models: int  # at all of them
  span: int  # snapshots that each model uses together


def _count(request: requests.Request) -> _Counts:
  s = request.settings
  if request.axes:
    return _Counts(ablation.list_where(request),
                   ablation.count_models(request), ablation.span(request))
  trials = s.seeds + controls.count_trials(s)
  length = int(request.networks['num_weights'].max())
  return _Counts([grid.NamedPlace({}, (), request.window, length)],
                 trials * len(request.sides.trains_F) * request.num_members,
                 request.snapshots)


def _count_windows(place: grid.NamedPlace) -> int:
  """Different windows of the longest network."""
  return place.longest - place.window + 1

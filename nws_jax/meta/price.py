"""The estimate of a request's time and memory, printed before it starts."""

import os

from nws_jax import errors, say
from nws_jax.meta import request as requests
from nws_jax.meta import running
from nws_jax.meta.answers import ablation, controls
from nws_jax.meta.classifiers import interface
from nws_jax.meta.data import bank, grid

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
  """Raises `Wrong` for what cannot be held at once, whatever is done."""
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
  """Of memory that a request takes at least: descriptions, and decisions."""
  s = request.settings
  found, models, span = _count(request)
  rows = max(len(request.rows), len(request.members))  # pairs may be more
  parts = max(map(len, request.tensors))
  most = max(w.longest - w.window + 1 for w in found)
  even = min(most, max(s.windows_per_network, ablation.POSITIONS
                       if ablation.POSITION in request.axes else 1))
  drawn = min(most, s.windows_drawn)
  see = request.classifier.inputs
  width = see.per_part if isinstance(see, bank.Description) else 0
  folds = len(request.sides.trains_F)
  each = 4 * rows * span * even * request.target.outputs  # of one member
  return (4 * rows * request.snapshots * (even + drawn * (most > 1))
          * parts * width
          + models // folds * each  # what models say
          + models * (16 * rows + _TASK))


def estimate(request: requests.Request, speed: float) -> float:
  """Seconds that a request takes at most, about; arguments as of `tell`."""
  s, classifier = request.settings, request.classifier
  found, models, span = _count(request)
  plan = running.make_plan(request, span)
  networks, seconds = len(request.members), 0.0
  describes = isinstance(classifier.inputs, bank.Description) and (
      classifier.inputs.describe is not None)
  for where in found:
    here = models // len(found)
    most = where.longest - where.window + 1
    even, drawn = (min(n, most)
                   for n in (s.windows_per_network, s.windows_drawn))
    if describes:
      seconds += (networks * request.snapshots * (even + drawn * (most > 1))
                  * where.window * _VALUE)
    tested = networks / len(request.sides.trains_F)
    seconds += classifier.seconds(interface.Work(
        here, plan.steps, plan.batch, networks * span * drawn,
        here * tested * span * even, where.window, request.target.outputs,
        request.tensors, speed))
  return seconds + classifier.compile_seconds * len({w.window for w in found})


def _count(request: requests.Request
           ) -> tuple[list[grid.NamedPlace], int, int]:
  """(places, models at all of them, snapshots that each uses together)."""
  s = request.settings
  if request.axes:
    return (ablation.list_where(request), ablation.count_models(request),
            ablation.span(request))
  runs = s.seeds + controls.count_trials(s)
  length = int(request.networks['num_weights'].max())
  return ([grid.NamedPlace({}, (), request.window, length)],
          runs * len(request.sides.trains_F) * request.num_members,
          request.snapshots)

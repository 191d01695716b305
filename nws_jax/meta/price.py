"""What a request costs, told before it starts."""

import os

from nws_jax import errors, say
from nws_jax.meta import request as requests
from nws_jax.meta import settings
from nws_jax.meta.answers import ablation, controls, ladder
from nws_jax.meta.classifiers import equivariant, published, transformer
from nws_jax.meta.data import features, places, statistics

# Seconds on one CPU core, seen on AVX-512 hardware; for a rough word only.
_COMPILE = {settings.FAST: 6, settings.CNN: 25, settings.TRANSFORMER: 20,
            settings.EQUIVARIANT: 20}
_FIT = {settings.MAJORITY: 0.0, settings.LOGISTIC: 0.3, settings.SVM: 0.3,
        settings.BOOSTING: 3.0}  # a model, of some hundred rows
_ROWS = 300
_VALUE = 2e-7  # to describe one value of a window
_TASK = 500  # bytes of a model's own data, beside four numbers a row
_STEP = 4e-4  # a step of one small model
# Of training, against a large dot, seen on two CPU cores; of the CNN's plain
# convolutions, though fewer products are made.
_EFFICIENCY = {settings.CNN: 0.9, settings.TRANSFORMER: 0.12,
               settings.EQUIVARIANT: 0.3}


def tell(request, speed):
  """A line: models, work, and an estimate of the time.

  Args:
    request: `request.Request`.
    speed: floating-point operations a second of a large dot.
  """
  s = request.settings
  _, models, span = _count(request)
  plan = requests.make_plan(request, span)
  size = (len(request.networks) * request.snapshots
          * request.networks['num_weights'].max())
  steps = ('' if s.classifier in settings.FITTED
           else f' of at most {plan.steps} steps')
  return (f'{s.classifier}: {models} models{steps}, {say.size(4 * size)} of '
          f'weights; at most about {say.time(estimate(request, speed))}')


def check_memory(request):
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


def find_memory():
  """Bytes of the whole machine."""
  return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def count_bytes(request):
  """Of memory that a request takes at least: descriptions, and decisions."""
  s, name = request.settings, request.settings.classifier
  found, models, span = _count(request)
  rows = max(len(request.rows), len(request.members))  # pairs may be more
  parts = max(map(len, requests.read_tensors(request)))
  most = max(w.longest - w.window + 1 for w in found)
  even = min(most, max(s.windows_per_network, ablation.POSITIONS
                       if ablation.POSITION in request.axes else 1))
  drawn = min(most, s.windows_drawn)
  width = (statistics.PER_PART if name in settings.STATISTICS
           else features.PER_PART if name == settings.FAST else 0)
  folds = len(request.sides.trains_F)
  each = 4 * rows * span * even * request.target.outputs  # of one member
  return (4 * rows * request.snapshots * (even + drawn * (most > 1))
          * parts * width
          + models // folds * each  # what models say
          + models * (16 * rows + _TASK))


def estimate(request, speed):
  """Seconds that a request takes at most, about; arguments as of `tell`."""
  s, name = request.settings, request.settings.classifier
  found, models, span = _count(request)
  plan = requests.make_plan(request, span)
  networks, seconds = len(request.members), 0.0
  for where in found:
    here = models // len(found)
    most = where.longest - where.window + 1
    even, drawn = (min(n, most)
                   for n in (s.windows_per_network, s.windows_drawn))
    if name in settings.STATISTICS + (settings.FAST,):
      seconds += (networks * request.snapshots * (even + drawn * (most > 1))
                  * where.window * _VALUE)
    if name in settings.FITTED:
      seconds += here * _FIT[name] * max(1, networks * span * drawn / _ROWS)
    elif name == settings.FAST:
      seconds += here * plan.steps * _STEP
    else:
      scored = here * networks / len(request.sides.trains_F) * span * even
      work = _count_flops(request, where.window) * (
          3 * here * plan.steps * plan.batch + scored)
      seconds += work / speed / _EFFICIENCY[name]
  return seconds + _COMPILE.get(name, 0) * len({w.window for w in found})


def _count(request):
  """(places, models at all of them, snapshots that each uses together)."""
  s = request.settings
  if request.axes:
    return (ablation.list_where(request), ablation.count_models(request),
            ablation.span(request))
  runs = s.seeds + controls.count_trials(s)
  length = int(request.networks['num_weights'].max())
  return ([places.Where({}, (), request.window, length)],
          runs * len(request.sides.trains_F) * ladder.count_members(s, ()),
          request.snapshots)


def _count_flops(request, window):
  """Multiplications and additions of one window, forwards."""
  name = request.settings.classifier
  if name == settings.CNN:
    return published.count_flops(window, request.target.outputs)
  tensors = requests.read_tensors(request)
  if name == settings.TRANSFORMER:
    return transformer.count_flops(window, max(map(len, tensors)))
  return equivariant.count_flops(equivariant.plan(tensors[0]))

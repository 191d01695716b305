"""What a request costs, told before it starts."""

from nws_jax.meta import (
  ablation,
  classifiers,
  equivariant,
  settings,
  transformer,
)
from nws_jax.meta import request as requests

# Seconds on one CPU core, seen on AVX-512 hardware; for a rough word only.
_COMPILE = {settings.FAST: 6, settings.CNN: 25, settings.TRANSFORMER: 20,
            settings.EQUIVARIANT: 20}
_FIT = {settings.MAJORITY: 0.0, settings.LOGISTIC: 0.3, settings.SVM: 0.3,
        settings.BOOSTING: 3.0}  # a model, of some hundred rows
_VALUE = 2e-7  # to describe one value of a window
_STEP = 4e-4  # a step of one small model
_EFFICIENCY = 0.5  # of training, against a large dot


def tell(request, speed):
  """A line: models, work, and an estimate of the time.

  Args:
    request: `request.Request`.
    speed: floating-point operations a second of a large dot.
  """
  s = request.settings
  places, times = ablation.list_places(request), ablation.list_times(request)
  plan = requests.make_plan(request, times.span)
  networks = len(request.members)
  size = networks * request.snapshots * request.members['num_weights'].max()
  work = ('' if s.classifier in settings.FITTED
          else f' of at most {plan.steps} steps')
  return (f'{s.classifier}: {_count_models(request, times) * len(places)} '
          f'models{work}, {4 * size / 1e6:,.0f} MB of weights; at most about '
          f'{say(estimate(request, speed))}')


def estimate(request, speed):
  """Seconds that a request takes at most, about; arguments as of `tell`."""
  s = request.settings
  places, times = ablation.list_places(request), ablation.list_times(request)
  models = _count_models(request, times)
  plan = requests.make_plan(request, times.span)
  networks, seconds = len(request.members), 0.0
  for place in places:
    scored = models * networks / len(request.sides.trains_F) * times.span
    drawn = s.windows_drawn + s.windows_per_network
    drawn = min(drawn, place.region.shortest - place.window + 1)
    described = networks * request.snapshots * drawn * place.window * _VALUE
    if s.classifier in settings.FITTED:
      rows = networks * times.span * min(drawn, s.windows_drawn)
      seconds += described * (s.classifier != settings.MAJORITY)
      seconds += models * _FIT[s.classifier] * max(1, rows / 500)
      continue
    seconds += _COMPILE[s.classifier]
    if s.classifier == settings.FAST:
      seconds += described + models * plan.steps * _STEP
      continue
    flops = _count_flops(request, place.window)
    work = flops * (3 * models * plan.steps * plan.batch
                    + scored * min(drawn, s.windows_per_network))
    seconds += work / speed / _EFFICIENCY
  return seconds


def say(seconds):
  for unit, size in (('days', 86400), ('hours', 3600), ('minutes', 60)):
    if seconds > 2 * size:
      return f'{seconds / size:.0f} {unit}'
  return f'{seconds:.0f} seconds'


def _count_models(request, times):
  s = request.settings
  starts = 1 if s.classifier in settings.FITTED else s.members
  return (len(times.firsts) * len(request.sides.trains_F) * starts
          * (1 if request.axes else 1 + s.permutations))


def _count_flops(request, window):
  """Multiplications and additions of one window, forwards."""
  name = request.settings.classifier
  if name == settings.CNN:
    return classifiers.count_flops(window, request.target.outputs)
  tensors = requests.read_tensors(request)
  if name == settings.TRANSFORMER:
    return transformer.count_flops(window, max(map(len, tensors)))
  return equivariant.count_flops(equivariant.plan(tensors[0]))

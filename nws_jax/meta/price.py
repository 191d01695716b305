"""What a request costs, told before it starts."""

from nws_jax.meta import ablation, classifiers, controls, places, settings
from nws_jax.meta import request as requests

# Seconds on one CPU core, seen on AVX-512 hardware; for a rough word only.
_COMPILE = {settings.FAST: 6, settings.CNN: 25}
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
  found, models, span = _count(request)
  plan = requests.make_plan(request, span)
  networks, seconds = len(request.members), 0.0
  for where in found:
    here = models // len(found)
    scored = here * networks / len(request.sides.trains_F) * span
    if s.classifier == settings.CNN:
      flops = classifiers.count_flops(where.window, request.target.outputs)
      work = flops * (3 * here * plan.steps * plan.batch
                      + scored * s.windows_per_network)
      seconds += work / speed / _EFFICIENCY
    else:
      drawn = s.windows_drawn + s.windows_per_network
      drawn = min(drawn, where.longest - where.window + 1)
      seconds += (networks * request.snapshots * drawn * where.window * _VALUE
                  + here * plan.steps * _STEP)
  seconds += _COMPILE[s.classifier] * len({w.window for w in found})
  size = networks * request.snapshots * request.members['num_weights'].max()
  return (f'{s.classifier}: {models} models of at most '
          f'{plan.steps} steps, {4 * size / 1e6:,.0f} MB of weights; '
          f'at most about {_say(seconds)}')


def _count(request):
  """(places, models at all of them, snapshots that each uses together)."""
  s = request.settings
  if request.axes:
    return (ablation.list_where(request), ablation.count_models(request),
            ablation.span(request))
  runs = s.seeds + controls.count_permutations(s) + len(
      set(settings.list_controls(s.controls)) - {'shuffled'})
  length = int(request.networks['num_weights'].max())
  return ([places.Where({}, (), request.window, length)],
          runs * len(request.sides.trains_F) * s.members, request.snapshots)


def _say(seconds):
  for unit, size in (('days', 86400), ('hours', 3600), ('minutes', 60)):
    if seconds > 2 * size:
      return f'{seconds / size:.0f} {unit}'
  return f'{seconds:.0f} seconds'

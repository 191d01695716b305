"""Controls that read a part of the weights."""

from nws_jax.meta import request as requests
from nws_jax.meta import running
from nws_jax.meta.answers.controls import control
from nws_jax.meta.data import grid, windows

STATISTICS = ('mean', 'variance')  # tensors of batch norm that are no weights


def drop_statistics(request: requests.Request,
                    source: windows.Source) -> control.Plan:
  """Weights without batch norm's running statistics of the images."""
  names = request.parts
  left = tuple(n for n in names if n[1] not in STATISTICS)
  if len(left) == len(names):
    raise control.NotApplicable('there are no running statistics')
  lengths = grid.measure_parts(request.layers, left)
  shortest = min(lengths)
  whole = request.window >= int(request.networks['num_weights'].min())
  window = shortest if whole else min(request.window, shortest)
  named = grid.NamedPlace({}, left, window, max(lengths))
  return control.Plan(grid.make(
      source, names, named, running.make_place(request, source)), [{}], {})

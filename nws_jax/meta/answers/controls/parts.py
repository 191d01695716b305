"""Controls that read a part of the weights."""

from nws_jax.meta import request as requests
from nws_jax.meta.answers.controls import control
from nws_jax.meta.data import places, windows

STATISTICS = ('mean', 'variance')  # tensors of batch norm that are no weights


def drop_statistics(request: requests.Request,
                    source: windows.Source) -> control.Plan:
  """Weights without batch norm's running statistics of the images."""
  names = requests.list_parts(request)
  left = tuple(n for n in names if n[1] not in STATISTICS)
  if len(left) == len(names):
    raise control.NotApplicable('there are no running statistics')
  lengths = places.measure_parts(request, left)
  shortest = min(lengths)
  whole = request.window >= int(request.networks['num_weights'].min())
  window = shortest if whole else min(request.window, shortest)
  where = places.Where({}, left, window, max(lengths))
  return control.Plan(places.make(
      source, names, where, requests.make_looks(request), request.pairs_Mx2,
      request.settings.seed), [{}], {})

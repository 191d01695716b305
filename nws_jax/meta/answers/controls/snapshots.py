"""Controls that read other snapshots of the same networks."""

import numpy as np

from nws_jax import errors
from nws_jax.meta import request as requests
from nws_jax.meta import running
from nws_jax.meta.answers.controls import control
from nws_jax.meta.data import regions, windows


def read_untrained(request: requests.Request,
                   source: windows.Source) -> control.Plan:
  """Weights before the first update."""
  del source
  return control.Plan(
      _read(request, {id: (0,) for id in request.epochs}), [{'span': 1}], {})


def read_equal_updates(request: requests.Request,
                       source: windows.Source) -> control.Plan:
  """The snapshots nearest to one number of updates.

  It is the number that leaves the smallest deviation of the worst network, by
  the logarithm of its updates; of equals the largest.
  """
  del source
  kept = request.zoo.metrics
  kept = kept[kept['snapshot'].notna() & (kept['step'] > 0)
              & kept['id'].isin(request.epochs)]
  last = kept.groupby('id')['step'].max()
  if last.nunique() == 1:
    raise control.NotApplicable('all networks have equally many updates')
  if len(last) < len(request.epochs):
    raise control.NotApplicable(
        'a network has no snapshot after its first update')
  steps = {id: of['step'].to_numpy() for id, of in kept.groupby('id')}
  candidates = np.unique(kept['step'])[::-1]
  deviations = [max(np.abs(np.log(s / c)).min() for s in steps.values())
                for c in candidates]
  updates = int(candidates[np.argmin(deviations)])
  chosen: dict[int, tuple[int, ...]] = {}
  for id, of in kept.groupby('id'):
    nearest = np.abs(np.log(of['step'] / updates)).to_numpy().argmin()
    chosen[id] = (int(of['epoch'].iloc[nearest]),)
  return control.Plan(_read(request, chosen), [{'span': 1}], {
      'updates': updates, 'updates_off': float(np.expm1(min(deviations)))})


def _read(request: requests.Request,
          epochs: dict[int, tuple[int, ...]]) -> regions.Place:
  try:
    return running.make_place(request, running.load(request, epochs))
  except errors.Wrong as e:
    raise control.NotApplicable(
        f'not all networks have such a snapshot: {e}') from e

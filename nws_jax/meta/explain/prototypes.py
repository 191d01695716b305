"""What the weights of a class look like, whatever the order of the neurons.

Neurons of a hidden layer may be renumbered without changing what a network
does, so that a mean of weights place by place means nothing. What is left is
the distribution of a tensor's values: a class's prototype is the median over
its networks of each quantile, which is the distribution nearest to all of them
(the barycentre of the Wasserstein distance of order 1). Beside it stands a real
network: the held-out one that is told most surely to be of its class.
"""

import numpy as np

from nws_jax.meta.figures import intervals

LEVELS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
_THIRDS = ('lowest third', 'middle third', 'highest third')


def group(target):
  """(names, group_M): a target's classes; of numbers, thirds of the networks.
  """
  values_M = np.asarray(target.values_M)
  if target.classes and not target.bins:
    return target.classes, values_M.astype(int)
  bins = target.bins or len(_THIRDS)
  cuts = np.quantile(values_M, np.arange(1, bins) / bins)
  return (target.classes or _THIRDS,
          np.searchsorted(cuts, values_M, side='right'))


def find(weights_MxP, layout_M, layouts, names, group_M, settings_M,
         repetitions):
  """Rows of prototypes.csv: a class, tensor and quantile each.

  Args:
    weights_MxP: vectors, padded.
    layout_M: which of `layouts` a network has.
    layouts: of each architecture its `layouts.Tensor`s.
    names: of the groups.
    group_M: which of them a network is of.
    settings_M: its setting.
    repetitions: of the bootstrap over settings.

  Returns:
    [{class, layer, tensor, level, value, low, high, networks}].
  """
  rows = []
  for layer, tensor in dict.fromkeys(
      (t.layer, t.tensor) for tensors in layouts for t in tensors):
    quantiles_MxQ = np.full((len(weights_MxP), len(LEVELS)), np.nan)
    for a, tensors in enumerate(layouts):
      for t in tensors:
        if (t.layer, t.tensor) == (layer, tensor):
          of_it = np.flatnonzero(np.asarray(layout_M) == a)
          quantiles_MxQ[of_it] = np.quantile(np.asarray(
              weights_MxP[of_it, t.start:t.stop], np.float64), LEVELS, 1).T
    has_M = ~np.isnan(quantiles_MxQ[:, 0])
    for k, name in enumerate(names):
      mine = np.flatnonzero(has_M & (group_M == k))
      if len(mine):
        rows += _summarise(quantiles_MxQ[mine], settings_M[mine], repetitions, {
            'class': name, 'layer': layer, 'tensor': tensor})
  return rows


def _summarise(quantiles_NxQ, settings_N, repetitions, about):
  value_Q = np.median(quantiles_NxQ, 0)
  low_Q, high_Q = intervals.bootstrap_columns(
      np.median, quantiles_NxQ, settings_N, repetitions=repetitions)
  return [{**about, 'level': level, 'value': value, 'low': low, 'high': high,
           'networks': len(quantiles_NxQ)} for level, value, low, high in zip(
               LEVELS, value_Q.tolist(), low_Q.tolist(), high_Q.tolist())]


def choose_typical(predictions, names, group_M, rows):
  """{class: (row of the network, how sure)} of held-out networks.

  Args:
    predictions: DataFrame of predictions.csv, of one meta-seed.
    names: of the groups.
    group_M: which of them each of the networks read is of.
    rows: row among those read, of each row of `predictions`.

  Returns:
    Of classes the network with the largest calibrated probability of its own
    class, and that; of a regressed target, in each third, the one with the
    smallest error, and minus that.
  """
  found = {}
  for k, name in enumerate(names):
    mine = predictions[group_M[rows] == k]
    if not len(mine):
      continue
    sure = (mine[f'p_{name}'] if f'p_{name}' in mine
            else -(mine['predicted'] - mine['true']).abs())
    best = sure.to_numpy().argmax()
    found[name] = (int(rows[predictions.index.get_loc(mine.index[best])]),
                   float(sure.iloc[best]))
  return found


def read_filters(vector_P, tensors):
  """(layer, [out, in, rows, columns]) of a network's first kernel, or None."""
  kernel = next((t for t in tensors if t.is_kernel and len(t.shape) == 4), None)
  if kernel is None:
    return None
  return kernel.layer, np.asarray(
      vector_P[kernel.start:kernel.stop]).reshape(kernel.published)


def list_filters(filters_OxIxHxW, about):
  """Rows of filters.csv: a weight each."""
  return [{**about, 'filter': o, 'channel': i, 'row': y, 'column': x,
           'weight': float(value)}
          for (o, i, y, x), value in np.ndenumerate(filters_OxIxHxW)]

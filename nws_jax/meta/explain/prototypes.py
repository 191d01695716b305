"""The typical weights of each class, in whatever order the neurons are.

The neurons of a hidden layer can be permuted without changing the function of a
network, so a mean of weights place by place has no meaning. The distribution of
a tensor's values has: the prototype of a class is the median over its networks
of each quantile, which is the distribution closest to all of them (the
barycentre of the Wasserstein distance of order 1). Beside it stands a real
network: the held-out one whose class is predicted with the greatest certainty.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nws_jax.meta.data import layouts as layouts_lib
from nws_jax.meta.data import targets
from nws_jax.meta.figures import intervals

LEVELS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
_THIRDS = ('lowest third', 'middle third', 'highest third')


class Groups(NamedTuple):
  """The classes of a target; of a number, thirds of the networks."""
  names: tuple[Any, ...]
  group_M: np.ndarray  # int: the group of each network


class Typical(NamedTuple):
  """The network that is most typical of its group."""
  row: int  # among those read
  certainty: float


class Filters(NamedTuple):
  """The first convolution of a network."""
  layer: str
  values_OxIxHxW: np.ndarray


def group(target: targets.Target) -> Groups:
  """The groups that networks are described in."""
  values_M = np.asarray(target.values_M)
  if target.classes and not target.bins:
    return Groups(target.classes, values_M.astype(int))
  bins = target.bins or len(_THIRDS)
  cuts = np.quantile(values_M, np.arange(1, bins) / bins)
  return Groups(target.classes or _THIRDS,
                np.searchsorted(cuts, values_M, side='right'))


def find(weights_MxP: np.ndarray, layout_M: np.ndarray,
         layouts: layouts_lib.Layouts, groups: Groups,
         settings_M: np.ndarray, repetitions: int) -> list[dict[str, Any]]:
  """Rows of prototypes.csv: a class, tensor and quantile each.

  Args:
    weights_MxP: vectors, padded.
    layout_M: which of `layouts` a network has.
    layouts: the tensors of each architecture.
    groups: whose prototypes are found.
    settings_M: the setting of each network.
    repetitions: of the bootstrap over settings.

  Returns:
    [{class, layer, tensor, level, value, low, high, networks}].
  """
  rows: list[dict[str, Any]] = []
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
    for k, name in enumerate(groups.names):
      mine = np.flatnonzero(has_M & (groups.group_M == k))
      if len(mine):
        rows += _summarise(quantiles_MxQ[mine], settings_M[mine], repetitions, {
            'class': name, 'layer': layer, 'tensor': tensor})
  return rows


def _summarise(quantiles_NxQ: np.ndarray, settings_N: np.ndarray,
               repetitions: int, about: dict[str, Any]) -> list[dict[str, Any]]:
  value_Q = np.median(quantiles_NxQ, 0)
  low_Q, high_Q = intervals.bootstrap_columns(
      np.median, quantiles_NxQ, settings_N, repetitions=repetitions)
  return [{**about, 'level': level, 'value': value, 'low': low, 'high': high,
           'networks': len(quantiles_NxQ)} for level, value, low, high in zip(
               LEVELS, value_Q.tolist(), low_Q.tolist(), high_Q.tolist())]


def choose_typical(predictions: pd.DataFrame, groups: Groups,
                   rows: np.ndarray) -> dict[Any, Typical]:
  """The most typical held-out network of each group.

  Args:
    predictions: predictions.csv, of one meta-seed.
    groups: of the networks read.
    rows: the row among those read, of each row of `predictions`.

  Returns:
    Of classes the network with the largest calibrated probability of its own
    class, which is the certainty; of a regressed target, in each third, the one
    with the smallest error, whose negative is the certainty.
  """
  found = {}
  for k, name in enumerate(groups.names):
    mine = predictions[groups.group_M[rows] == k]
    if not len(mine):
      continue
    certainty = (mine[f'p_{name}'] if f'p_{name}' in mine
                 else -(mine['predicted'] - mine['true']).abs())
    best = int(certainty.to_numpy().argmax())
    found[name] = Typical(
        int(rows[predictions.index.get_loc(mine.index[best])]),
        float(certainty.iloc[best]))
  return found


def read_filters(vector_P: np.ndarray,
                 tensors: Sequence[layouts_lib.Tensor]) -> Filters | None:
  """The first convolution of a network, if it has one."""
  kernel = next((t for t in tensors if t.is_kernel and len(t.shape) == 4), None)
  if kernel is None:
    return None
  return Filters(kernel.layer, np.asarray(
      vector_P[kernel.start:kernel.stop]).reshape(kernel.published))


def list_filters(filters_OxIxHxW: np.ndarray,
                 about: dict[str, Any]) -> list[dict[str, Any]]:
  """Rows of filters.csv: a weight each."""
  return [{**about, 'filter': o, 'channel': i, 'row': y, 'column': x,
           'weight': float(value)}
          for (o, i, y, x), value in np.ndenumerate(filters_OxIxHxW)]

"""From an open zoo to the vectors that classifiers share, and their layout."""

from typing import Any, Iterable, NamedTuple, Sequence

import numpy as np
import pandas as pd

from nws_jax import errors
from nws_jax.meta.data import layouts

WHOLE_UP_TO = 40_000  # longest vector that is one window by default
LOCAL = 5000  # the published window


class Without:
  """A zoo as if some tensors had never been stored; it is read as any other."""

  def __init__(self, zoo: Any, text: str) -> None:
    """Leaves out the tensors of `text`, as 'mean,variance'.

    Raises:
      errors.Wrong: there is no such tensor, or none other.
    """
    names = [n.strip() for n in text.split(',')]
    there = list(dict.fromkeys(zoo.layers['tensor']))
    if not set(names) < set(there):
      raise errors.Wrong(f'--exclude={text} is not possible; allowed: some of '
                         f'{", ".join(there)}, but not all.')
    self._zoo = zoo
    self.path, self.digest, self.metrics = zoo.path, zoo.digest, zoo.metrics
    self.epochs, self.extent = zoo.epochs, zoo.extent
    self.properties = zoo.properties
    layers = zoo.layers[~zoo.layers['tensor'].isin(names)]
    sizes = layers['stop'] - layers['start']
    stops = sizes.groupby(layers['architecture']).cumsum()
    self._kept = {
        a: np.concatenate([np.arange(*x) for x in zip(of['start'], of['stop'])])
        for a, of in layers.groupby('architecture')}
    self.layers = layers.assign(start=stops - sizes, stop=stops)
    self.members = zoo.members.assign(
        num_weights=[len(self._kept[a]) for a in zoo.members['architecture']])
    self._architectures = dict(
        zip(zoo.members['id'], zoo.members['architecture']))

  def vectors(self, ids: Iterable[int], epochs: Sequence[int]) -> np.ndarray:
    """As of the zoo; the vectors must have one length."""
    ids = [int(i) for i in ids]
    values: dict[int, np.ndarray] = {}
    for a in {self._architectures[i] for i in ids}:
      alike = [i for i in ids if self._architectures[i] == a]
      found = self._zoo.vectors(alike, epochs)[:, :, self._kept[a]]
      values.update(zip(alike, found))
    return np.stack([values[i] for i in ids])


def list_layers(layers: pd.DataFrame, members: pd.DataFrame) -> pd.DataFrame:
  """The rows of layers.csv that these networks have."""
  return layers[layers['architecture'].isin(members['architecture'])]


def choose_epochs(zoo: Any, ids: Sequence[int], wanted: str
                  ) -> dict[int, tuple[int, ...]]:
  """The epochs to read of every network, as many of each: {id: (epochs)}.

  Args:
    zoo: `nws_jax.api.Zoo`.
    ids: networks.
    wanted: last, all, an epoch or first:last, both included.

  Raises:
    errors.Wrong: a network does not have them, or they are not as many.
  """
  kept = {id: zoo.epochs(id) for id in ids}
  if wanted == 'last':
    chosen = {id: epochs[-1:] for id, epochs in kept.items()}
  elif wanted == 'all':
    chosen = kept
  else:
    first, last = (wanted.split(':') * 2)[:2]
    span = range(int(first), int(last) + 1)
    chosen = {id: tuple(e for e in epochs if e in span)
              for id, epochs in kept.items()}
  counts = {len(epochs) for epochs in chosen.values()}
  if counts == {0} or len(counts) > 1:
    common = sorted(set.intersection(*map(set, kept.values())))
    raise errors.Wrong(
        f'epochs={wanted} is not possible: these {len(ids)} networks have '
        f'{min(counts)} to {max(counts)} such snapshots each, they must have '
        'as many, and one at least. What all of them have: '
        f'{", ".join(map(str, common)) or "none"}; or use last.')
  return chosen


def choose_window(members: pd.DataFrame, window: int) -> int:
  """Length of a window, 0 being the default.

  Raises:
    errors.Wrong: it is longer than a vector.
  """
  shortest = int(members['num_weights'].min())
  if not window:
    whole = (members['architecture'].nunique() == 1
             and shortest <= WHOLE_UP_TO)
    return shortest if whole else min(LOCAL, shortest)
  if window > shortest:
    raise errors.Wrong(f'window={window} does not fit: the shortest vector has '
                       f'{shortest} weights. Give at most that, or 0.')
  return window


def read_weights(zoo: Any, members: pd.DataFrame,
                 epochs: dict[int, tuple[int, ...]]) -> np.ndarray:
  """The networks' vectors after their epochs: float32 [M, E, P].

  Vectors of different lengths are padded with zeros. What is not finite, in
  networks that diverged, becomes 0.
  """
  ids = members['id'].to_numpy()
  lengths_M = members['num_weights'].to_numpy()
  weights_MxExP = np.zeros(
      (len(ids), len(next(iter(epochs.values()))), lengths_M.max()), np.float32)
  # Networks of equal epochs and lengths are read together.
  alike: dict[tuple[Any, int], list[int]] = {}
  for row, (id, length) in enumerate(zip(ids, lengths_M)):
    alike.setdefault((epochs[id], length), []).append(row)
  for (kept, length), rows in alike.items():
    weights_MxExP[rows, :, :length] = zoo.vectors(ids[rows], kept)
  return np.nan_to_num(weights_MxExP, copy=False, posinf=0, neginf=0)


class Layout(NamedTuple):
  """Which tensor every value belongs to."""
  parts_AxP: np.ndarray  # int32, the number of its part, by architecture
  layout_M: np.ndarray  # int32, each network's row of `parts_AxP`
  names: list[layouts.Part]


def read_layout(layers: pd.DataFrame, members: pd.DataFrame) -> Layout:
  """Which tensor every value belongs to.

  Tensors of one layer and name are one part, whatever the architecture; parts
  ascend along every vector (conv1_1 < ... < fc1 < ... < output, by name).
  """
  architectures = list(dict.fromkeys(members['architecture']))
  layers = list_layers(layers, members)
  tensors = list(dict.fromkeys(layers['tensor']))
  names = sorted(set(zip(layers['layer'], layers['tensor'])),
                 key=lambda n: (n[0], tensors.index(n[1])))
  parts_AxP = np.full(
      (len(architectures), int(layers['stop'].max())), len(names), np.int32)
  for row in layers.itertuples():
    parts_AxP[architectures.index(row.architecture), row.start:row.stop] = (
        names.index((row.layer, row.tensor)))
  layout_M = np.array([architectures.index(a) for a in members['architecture']])
  return Layout(parts_AxP, layout_M.astype(np.int32), names)

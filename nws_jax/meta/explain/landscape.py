"""A map of the weight space in two dimensions, with trajectories through it.

Vectors of several architectures have no axes in common, and neurons have no
order; so the map is of statistics of whole vectors, layer by layer
(`features.describe`), of every kept snapshot. They are standardised by median
and quartiles, clipped at five deviations, and projected onto their first two
principal components; by UMAP too where umap-learn is installed. Networks are
read a few at a time.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from nws_jax import errors
from nws_jax.meta.data import descriptions, reading, windows

MOST = 2000  # networks; the map of more is no clearer
_MEMORY = 64 << 20  # bytes of vectors that are read at once
_CLIP = 5.0  # deviations


class Landscape(NamedTuple):
  """The positions of all snapshots; N of them."""
  ids_N: np.ndarray
  epochs_N: np.ndarray
  places_Nx2: np.ndarray
  explained: tuple[float, ...]  # share of the variance, by component
  columns: int  # number of statistics that are projected
  umap_Nx2: np.ndarray | None


def check() -> None:
  """Raises `Wrong` where scikit-learn is not installed."""
  try:
    import sklearn  # noqa: F401
  except ImportError as e:
    raise errors.Wrong('--explain needs scikit-learn, which is not installed: '
                       "pip install 'nws_jax[baselines]'.") from e


class Statistics(NamedTuple):
  """Statistics of all snapshots; NaN of a part that a network does not have."""
  rows_NxC: np.ndarray
  ids_N: np.ndarray
  epochs_N: np.ndarray


def make(zoo: Any, networks: pd.DataFrame,
         progress: Callable[[int, int], None] = lambda done, of: None,
         ) -> Landscape:
  """The `Landscape` of networks, evenly spaced ones if they are many.

  Args:
    zoo: `nws_jax.api.Zoo`, or `reading.Without` some tensors of it.
    networks: those that are read.
    progress: called with (networks read, networks).
  """
  most = min(len(networks), MOST)
  networks = networks.iloc[np.arange(most) * len(networks) // most]
  rows_NxC, ids_N, epochs_N = describe(zoo, networks, progress)
  rows_NxC = standardise(rows_NxC)
  places_Nx2, explained = project(rows_NxC)
  return Landscape(ids_N, epochs_N, places_Nx2, explained, rows_NxC.shape[1],
                   _project_umap(rows_NxC))


def describe(zoo: Any, networks: pd.DataFrame,
             progress: Callable[[int, int], None] = lambda done, of: None,
             ) -> Statistics:
  """The `Statistics` of networks; arguments as of `make`."""
  parts_AxP, layout_M, names = reading.read_layout(zoo.layers, networks)
  # Networks of the same epochs and architecture are read together.
  groups: dict[tuple, list[tuple[int, int]]] = {}
  for m, (id, a) in enumerate(zip(networks['id'].tolist(), layout_M.tolist())):
    groups.setdefault((zoo.epochs(id), a), []).append((m, id))
  found, done = [], 0
  for (epochs, a), members in groups.items():
    length = int(networks['num_weights'].iloc[members[0][0]])
    part_P = jnp.asarray(parts_AxP[a, :length])
    count = max(1, _MEMORY // (4 * length * len(epochs)))
    for begin in range(0, len(members), count):
      some = members[begin:begin + count]
      vectors = zoo.vectors([id for _, id in some], list(epochs))
      rows = _describe_all(np.nan_to_num(
          vectors, posinf=0, neginf=0).reshape(-1, length), part_P, len(names))
      found.append((np.repeat([m for m, _ in some], len(epochs)),
                    np.tile(epochs, len(some)), rows))
      done += len(some)
      progress(done, len(networks))
  m_N, epochs_N, rows_NxC = map(np.concatenate, zip(*found))
  order = np.lexsort((epochs_N, m_N))
  return Statistics(
      rows_NxC[order], networks['id'].to_numpy()[m_N[order]], epochs_N[order])


def _describe_all(vectors_NxP: np.ndarray, part_P: jax.Array,
                  parts: int) -> np.ndarray:
  """Statistics [N, C].

  Padded to a power of two networks, so that few shapes are compiled.
  """
  count = len(vectors_NxP)
  padded = np.zeros((1 << (count - 1).bit_length(), vectors_NxP.shape[1]),
                    np.float32)
  padded[:count] = vectors_NxP
  source = windows.Source(jnp.asarray(padded)[:, None],
                          jnp.asarray(part_P)[None],
                          jnp.zeros(len(padded), jnp.int32))
  describe = descriptions.Describer(
      source, np.arange(parts), padded.shape[1], parts, descriptions.FEATURES)
  return np.asarray(describe(
      jnp.zeros((len(padded), 1, 1), jnp.int32)))[:count, 0, 0]


def standardise(rows_NxC: np.ndarray) -> np.ndarray:
  """Columns on one scale; without those that do not vary.

  By median and quartiles: by mean and deviation, the map would show little
  more than a few networks with huge weights. Missing values become the median.
  """
  there = ~np.isnan(rows_NxC).all(0)
  rows_NxC = rows_NxC[:, there]
  low_C, middle_C, high_C = np.nanquantile(rows_NxC, (0.25, 0.5, 0.75), axis=0)
  spread_C = (high_C - low_C) / 1.349  # of a normal: its standard deviation
  # Where half of the values are equal, the deviation of all.
  spread_C = np.where(spread_C > 1e-9, spread_C, np.nanstd(rows_NxC, axis=0))
  varies = spread_C > 1e-9
  scaled_NxC = (rows_NxC - middle_C[None])[:, varies] / spread_C[None, varies]
  return np.clip(np.nan_to_num(scaled_NxC), -_CLIP, _CLIP)


def project(rows_NxC: np.ndarray) -> tuple[np.ndarray, tuple[float, ...]]:
  """(the first two principal components [N, 2], their shares of the variance).

  The point that is farthest from the origin along a component is on its
  positive side, so that neither rotations nor another order of the columns
  mirror the map.
  """
  from sklearn import decomposition
  pca = decomposition.PCA(2, svd_solver='covariance_eigh')
  places_Nx2 = pca.fit_transform(np.asarray(rows_NxC, np.float64))
  far_2 = np.abs(places_Nx2).argmax(0)
  places_Nx2 *= np.sign(places_Nx2[far_2, (0, 1)])[None]
  return places_Nx2, tuple(pca.explained_variance_ratio_.tolist())


def _project_umap(rows_NxC: np.ndarray) -> np.ndarray | None:
  """Positions by UMAP; None where umap-learn is not installed."""
  with warnings.catch_warnings():
    # It warns of optional packages of its own.
    warnings.simplefilter('ignore', ImportWarning)
    try:
      import umap
    except ImportError:
      return None
    # Separate islands are no fault of the map.
    warnings.filterwarnings('ignore', 'Graph is not fully connected')
    return np.asarray(
        umap.UMAP(random_state=0, n_jobs=1).fit_transform(rows_NxC))


def trace(landscape: Landscape, names: Sequence[Any],
          groups: Mapping[int, int]) -> list[dict[str, Any]]:
  """Rows of paths.csv: the mean position of a class after each epoch.

  Args:
    landscape: of all networks.
    names: of the classes.
    groups: {id: number of its class}.

  Returns:
    [{class, epoch, x, y, x_deviation, y_deviation, networks}].
  """
  group_N = np.array([groups[id] for id in landscape.ids_N.tolist()])
  rows = []
  for k, name in enumerate(names):
    for epoch in np.unique(landscape.epochs_N[group_N == k]).tolist():
      mine = landscape.places_Nx2[
          (group_N == k) & (landscape.epochs_N == epoch)]
      (x, y), (dx, dy) = mine.mean(0).tolist(), mine.std(0).tolist()
      rows.append({'class': name, 'epoch': epoch, 'x': x, 'y': y,
                   'x_deviation': dx, 'y_deviation': dy,
                   'networks': len(mine)})
  return rows

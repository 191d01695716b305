"""A map of the weight space in two dimensions, and the ways through it.

Vectors of several architectures have no axes in common, and neurons have no
order; so the map is of statistics of whole vectors, layer by layer
(`features.describe`), of every snapshot there is: standardised by median and
quartiles, held at five deviations, and drawn by their two principal components;
and by UMAP where umap-learn is installed. Networks are read a few at a time.
"""

import warnings
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from nws_jax import errors
from nws_jax.meta.data import bank, reading, windows

MOST = 2000  # networks; the map of more is no clearer
_MEMORY = 64 << 20  # bytes of vectors that are read at once
_HELD = 5.0


class Landscape(NamedTuple):
  """Where every snapshot lies; N of them."""
  ids_N: np.ndarray
  epochs_N: np.ndarray
  places_Nx2: np.ndarray
  explained: tuple  # share of the variance, of each component
  columns: int  # statistics that the map is of
  umap_Nx2: np.ndarray | None


def check():
  """Raises `Wrong` where scikit-learn is not installed."""
  try:
    import sklearn  # noqa: F401
  except ImportError as e:
    raise errors.Wrong('--explain needs scikit-learn, which is not installed: '
                       "pip install 'nws_jax[baselines]'.") from e


def make(zoo, networks, progress=lambda done, of: None):
  """The `Landscape` of networks, evenly drawn if they are many.

  Args:
    zoo: `nws_jax.api.Zoo`, or what is left of it.
    networks: DataFrame of those that are read.
    progress: called with networks read, and of how many.
  """
  most = min(len(networks), MOST)
  networks = networks.iloc[np.arange(most) * len(networks) // most]
  rows_NxC, ids_N, epochs_N = describe(zoo, networks, progress)
  rows_NxC = standardise(rows_NxC)
  places_Nx2, explained = project(rows_NxC)
  return Landscape(ids_N, epochs_N, places_Nx2, explained, rows_NxC.shape[1],
                   _project_umap(rows_NxC))


def describe(zoo, networks, progress=lambda done, of: None):
  """Statistics of every snapshot: (rows [N, C], ids [N], epochs [N]).

  A part that a network does not have is NaN.
  """
  parts_AxP, layout_M, names = reading.read_layout(zoo.layers, networks)
  groups = {}  # networks that can be read together
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
  return (rows_NxC[order], networks['id'].to_numpy()[m_N[order]],
          epochs_N[order])


def _describe_all(vectors_NxP, part_P, parts):
  """Statistics [N, C]; padded, so that few shapes are compiled."""
  count = len(vectors_NxP)
  padded = np.zeros((1 << (count - 1).bit_length(), vectors_NxP.shape[1]),
                    np.float32)
  padded[:count] = vectors_NxP
  source = windows.Source(jnp.asarray(padded)[:, None],
                          jnp.asarray(part_P)[None],
                          np.zeros(len(padded), np.int32))
  describe = bank.Describer(
      source, np.arange(parts), padded.shape[1], parts, bank.FEATURES)
  return np.asarray(describe(
      np.zeros((len(padded), 1, 1), np.int32)))[:count, 0, 0]


def standardise(rows_NxC):
  """Columns on one scale; without those that do not vary.

  By median and quartiles: a few networks with huge weights would be all that a
  map by mean and deviation shows. What is missing lies at the median.
  """
  there = ~np.isnan(rows_NxC).all(0)
  rows_NxC = rows_NxC[:, there]
  low_C, middle_C, high_C = np.nanquantile(rows_NxC, (0.25, 0.5, 0.75), axis=0)
  spread_C = (high_C - low_C) / 1.349  # of a normal: its standard deviation
  # Where half of them are equal, what the others are spread by.
  spread_C = np.where(spread_C > 1e-9, spread_C, np.nanstd(rows_NxC, axis=0))
  varies = spread_C > 1e-9
  scaled_NxC = (rows_NxC - middle_C[None])[:, varies] / spread_C[None, varies]
  return np.clip(np.nan_to_num(scaled_NxC), -_HELD, _HELD)


def project(rows_NxC):
  """(places on the first two principal components, shares of the variance).

  The point that is farthest out along a component is on its positive side, so
  that neither rotations nor another order of the columns turn the map over.
  """
  from sklearn import decomposition
  pca = decomposition.PCA(2, svd_solver='covariance_eigh')
  places_Nx2 = pca.fit_transform(np.asarray(rows_NxC, np.float64))
  far_2 = np.abs(places_Nx2).argmax(0)
  places_Nx2 *= np.sign(places_Nx2[far_2, (0, 1)])[None]
  return places_Nx2, tuple(pca.explained_variance_ratio_.tolist())


def _project_umap(rows_NxC):
  """Places by UMAP; None where umap-learn is not installed."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', ImportWarning)  # of what it lacks itself
    try:
      import umap
    except ImportError:
      return None
    # Islands are what one wants to see.
    warnings.filterwarnings('ignore', 'Graph is not fully connected')
    return np.asarray(
        umap.UMAP(random_state=0, n_jobs=1).fit_transform(rows_NxC))


def trace(landscape, names, groups):
  """Rows of paths.csv: the mean place of a class after each epoch.

  Args:
    landscape: `Landscape`.
    names: of the classes.
    groups: {id: its class's number}.

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

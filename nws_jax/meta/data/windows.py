"""Windows of consecutive weights, cut on the device, and who is on which side.

`Source` holds every vector once; a window is named by (network, epoch, start)
and cut under jit where it is used. Starts are uniform in low ... high - L, both
ends included (docs/recipe.md, section 11). Values are not normalised.
"""

import concurrent.futures
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax import errors
from nws_jax.meta.data import cores, features
from nws_jax.meta.training import fit

FOLDS = 5
LARGE = 1000  # networks from which one fixed split replaces the folds


class Source(NamedTuple):
  """What windows are cut from. Vectors of several lengths are padded."""
  weights_MxExP: jax.Array
  parts_AxP: jax.Array  # int32: the tensor of each value, by layout
  layout_M: jax.Array  # int32: row of `parts_AxP`


def keep(source, kept_AxP):
  """The `Source` of some values of each layout, closed up: (it, lengths_M)."""
  layouts = [np.flatnonzero(kept_P) for kept_P in kept_AxP]
  lengths_A = np.array([len(x) for x in layouts], np.int32)
  index_AxQ = np.stack([np.resize(x, lengths_A.max()) for x in layouts])
  layout_M = np.asarray(source.layout_M)
  weights_MxExQ = jnp.take_along_axis(
      source.weights_MxExP, jnp.asarray(index_AxQ)[layout_M][:, None], 2)
  parts_AxQ = jnp.take_along_axis(source.parts_AxP, jnp.asarray(index_AxQ), 1)
  return (Source(weights_MxExQ, parts_AxQ, source.layout_M),
          lengths_A[layout_M])


class Region(NamedTuple):
  """Which values of each network windows may hold: low to high - 1."""
  low_M: np.ndarray
  high_M: np.ndarray

  @property
  def shortest(self):
    return int(np.min(self.high_M - self.low_M))


class Sides(NamedTuple):
  """Rows of the networks on each side of F splits, padded by repetition.

  The `n` of a side are its rows that count: the first ones.
  """
  train_FxN: np.ndarray
  trains_F: np.ndarray
  valid_FxN: np.ndarray
  valids_F: np.ndarray
  test_FxN: np.ndarray
  tests_F: np.ndarray


def window(weights_MxExP, m, e, start, length):
  """Values start to start + length - 1 of network m's snapshot e: [L]."""
  return jax.lax.dynamic_slice(
      weights_MxExP, (m, e, start), (1, 1, length))[0, 0]


@functools.partial(jax.jit, static_argnames='length')
def draw_starts(key, low_B, high_B, length):
  """Uniform starts of windows within low ... high - 1; consumes the key."""
  return low_B + jax.random.randint(
      key, low_B.shape, 0, high_B - low_B - length + 1)


def space_starts(low, high, length, count):
  """[count] evenly spaced starts, the first and the last window included."""
  last = high - low - length
  steps = jnp.arange(count) / max(count - 1, 1)
  return low + jnp.round(steps * last).astype(jnp.int32)


def restrict(sides, kept_M):
  """`Sides` of the networks that are kept; `Wrong` if a side has none."""
  parts = zip(sides[::2], sides[1::2])
  sides = [[rows[:n][kept_M[rows[:n]]] for rows, n in zip(rows_FxN, n_F)]
           for rows_FxN, n_F in parts]
  if min(len(rows) for side in sides for rows in side) == 0:
    raise errors.Wrong(f'{int(kept_M.sum())} networks are too few to split.')
  return join(*sides)


def join(train_F, valid_F, test_F):
  """`Sides` of F lists of rows each."""
  return Sides(*(part for side in (train_F, valid_F, test_F)
                 for part in _pad(side)))


def by(networks):
  """The column that tells the sides of so many networks: split or fold."""
  return 'split' if networks >= LARGE else 'fold'


def split(members, networks=None):
  """`Sides` by network: 5-fold cross-validation, or the split of a large zoo.

  Fold k is tested, fold k + 1 validated, the rest trained on. All replicates
  of a setting share a side, and so do all snapshots of a network.

  Args:
    members: DataFrame with `split` and `fold`, in the order of the rows.
    networks: how many they are of, if not one each.

  Raises:
    errors.Wrong: a side is empty.
  """
  column = by(networks or len(members))
  at = members[column].to_numpy()
  if column == 'split':
    sides = [[np.flatnonzero(at == s)] for s in ('train', 'valid', 'test')]
  else:
    k = range(FOLDS)
    sides = [[np.flatnonzero((at != i) & (at != (i + 1) % FOLDS)) for i in k],
             [np.flatnonzero(at == (i + 1) % FOLDS) for i in k],
             [np.flatnonzero(at == i) for i in k]]
  if min(len(rows) for side in sides for rows in side) == 0:
    raise errors.Wrong(
        f'{len(members)} networks are too few to split: a side of the split '
        'has none. Train a zoo of at least 20 networks, or leave out fewer.')
  return join(*sides)


def _pad(rows_F):
  longest = max(map(len, rows_F))
  return (np.stack([np.resize(rows, longest) for rows in rows_F]),
          np.array([len(rows) for rows in rows_F]))


def cut(length, count):
  """A `fit.View` of the windows themselves: a new start at each use.

  What models share is (Source, low_M, high_M).
  """
  def pick(shared, key, m_B, e_B):
    source, low_M, high_M = shared
    starts_B = draw_starts(key, low_M[m_B], high_M[m_B], length)
    return jax.vmap(lambda m, e, s: window(
        source.weights_MxExP, m, e, s, length))(m_B, e_B, starts_B)

  def grid(shared, m, e):
    source, low_M, high_M = shared
    starts_S = space_starts(low_M[m], high_M[m], length, count)
    return jax.vmap(lambda s: window(
        source.weights_MxExP, m, e, s, length))(starts_S)

  return fit.View(pick, grid)


class Bank(NamedTuple):
  """Windows described once: some drawn for training, and evenly spaced ones."""
  drawn_MxExRxF: jax.Array
  even_MxExSxF: jax.Array


def look_up():
  """A `fit.View` of a `Bank`, which the models share."""
  def pick(bank, key, m_B, e_B):
    r_B = jax.random.randint(key, m_B.shape, 0, bank.drawn_MxExRxF.shape[2])
    return bank.drawn_MxExRxF[m_B, e_B, r_B]

  return fit.View(pick, lambda bank, m, e: bank.even_MxExSxF[m, e])


def describe(source, starts_MxExS, number_P, *, length, parts,
             by=features.describe):
  """Describes windows of every network and snapshot: [M, E, S, F].

  Args:
    source: `Source`.
    starts_MxExS: where the windows begin.
    number_P: int32, the number that a part of `source` has here; empty where
      parts are equal stretches of the window instead.
    length: of a window.
    parts: how many there are.
    by: `features.describe`, or what takes and gives the like.
  """
  networks, snapshots, count = starts_MxExS.shape
  m_N, e_N = np.divmod(np.arange(networks * snapshots, dtype=np.int32),
                       np.int32(snapshots))
  starts_NxS = np.asarray(starts_MxExS).reshape(-1, count)
  number_P = np.asarray(number_P)
  look = functools.partial(_describe, source, number_P, length=length,
                           parts=parts, by=by)
  if by is features.describe and jax.default_backend() == 'cpu':
    described = _describe_on_cores(source, look, m_N, e_N, starts_NxS,
                                   number_P, length, parts)
  else:
    described = look(m_N, e_N, starts_NxS, None)
  return described.reshape(networks, snapshots, count, -1)


_CHUNK = 1 << 22  # values of windows that are sorted before they are described


def _describe_on_cores(source, look, m_N, e_N, starts_NxS, number_P, length,
                       parts):
  """The same, some snapshots at a time and sorted by the host."""
  weights_MxExP, parts_AxP, layout_M = map(np.asarray, source)
  each = min(len(m_N), max(1, _CHUNK // (length * starts_NxS.shape[1])))

  def some(first):
    rows = np.minimum(np.arange(first, first + each), len(m_N) - 1)
    ordered = [[features.sort_on_host(
        weights_MxExP[m_N[n], e_N[n], s:s + length], number_parts(
            parts_AxP[layout_M[m_N[n]], s:s + length], number_P, parts, np))
        for s in starts_NxS[n].tolist()] for n in rows]
    return look(m_N[rows], e_N[rows], starts_NxS[rows], np.array(ordered))

  begins = range(0, len(m_N), each)
  done = [some(0)]  # compiled once, before threads ask for it
  with concurrent.futures.ThreadPoolExecutor(cores.count()) as pool:
    done += pool.map(some, begins[1:])
  return jnp.concatenate(done)[:len(m_N)]


def number_parts(part_L, number_P, parts, xp=jnp):
  """The number of each value's part, or of its stretch of the window."""
  if number_P.size:
    return xp.asarray(number_P)[part_L]
  return xp.arange(len(part_L)) * parts // len(part_L)


@functools.partial(jax.jit, static_argnames=('length', 'parts', 'by'))
def _describe(source, number_P, m_N, e_N, starts_NxS, ordered_NxSxL, *, length,
              parts, by):
  def look(m, e, start, *ordered):
    part_L = jax.lax.dynamic_slice(
        source.parts_AxP, (source.layout_M[m], start), (1, length))[0]
    return by(window(source.weights_MxExP, m, e, start, length),
              number_parts(part_L, number_P, parts), parts, *ordered)

  def describe_snapshot(at):
    m, e, starts_S, *ordered = at
    return jax.vmap(lambda start, *ordered: look(m, e, start, *ordered))(
        starts_S, *ordered)

  ordered = () if ordered_NxSxL is None else (ordered_NxSxL,)
  return jax.lax.map(describe_snapshot, (m_N, e_N, starts_NxS, *ordered))

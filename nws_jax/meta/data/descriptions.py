"""Windows described once, for classifiers that see no weights themselves.

A description has no parameters, so it is computed once for each window and kept
on the device: a `Bank`.
"""

import concurrent.futures
import functools
from types import ModuleType
from typing import Any, Callable, NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax.meta.data import cores, features, regions, statistics, windows
from nws_jax.meta.data.windows import Array

_CHUNK = 1 << 22  # values of windows that are sorted before they are described


class Bank(NamedTuple):
  """Descriptions of some drawn windows, for training, and evenly spaced ones.

  M networks, E snapshots, R drawn windows, S evenly spaced ones, F features.
  """
  drawn_MxExRxF: jax.Array
  even_MxExSxF: jax.Array


class Description(NamedTuple):
  """How windows are described."""
  # (window_L, part_L, parts[, sorted_L]) -> [parts * per_part]; None describes
  # nothing.
  describe: Callable[..., jax.Array] | None
  per_part: int  # features of each part of a window
  presorted: bool  # whether `describe` takes the values sorted by part
  spectra: bool  # whether spectra of whole kernels are added


NOTHING = Description(None, 0, False, False)
FEATURES = Description(features.describe, features.PER_PART, True, False)
STATISTICS = Description(statistics.describe, statistics.PER_PART, False, True)


def fill(place: regions.AnyPlace, description: Description,
         key: jax.Array) -> Bank:
  """The `Bank` of a description; consumes the key."""
  if isinstance(place, regions.Numbers):
    numbers = jnp.asarray(place.numbers_MxF, jnp.float32)[:, None, None]
    return Bank(numbers, numbers)
  source, region, spec = place.source, place.region, place.spec
  pairs_Mx2 = place.pairs_Mx2
  key = jax.random.fold_in(key, place.seed)
  networks, snapshots = source.weights_MxExP.shape[:2]
  if description.describe is None:
    rows = networks if pairs_Mx2 is None else len(pairs_Mx2)
    nothing = jnp.zeros((rows, snapshots, place.num_even, 1))
    return Bank(nothing, nothing)
  describe = Describer.make(place, description)
  low_M, high_M = jnp.asarray(region.low_M), jnp.asarray(region.high_M)

  # Evenly spaced windows, the same ones of each snapshot.
  even_MxS = jax.vmap(lambda low, high: windows.space_starts(
      low, high, spec.length, place.num_even))(low_M, high_M)
  even = describe(jnp.repeat(even_MxS[:, None], snapshots, 1))
  if description.spectra and _holds_kernels(place):
    even = jnp.concatenate([even, statistics.measure_kernels(
        source.weights_MxExP, source.layout_M, spec.tensors, region.low_M,
        region.high_M)[:, :, None]], -1)
  if pairs_Mx2 is not None:  # how far two networks are apart, window by window
    even = jnp.abs(even[pairs_Mx2[:, 0]] - even[pairs_Mx2[:, 1]])
    return Bank(even, even)

  # Windows drawn for training, unless there is but one window.
  if place.get_frame().longest == spec.length:
    return Bank(even, even)
  shape = (networks, snapshots, place.count_windows(spec.drawn))
  low, high = (jnp.broadcast_to(x_M[:, None, None], shape)
               for x_M in (low_M, high_M))
  return Bank(
      describe(windows.draw_starts(key, low, high, spec.length)), even)


def _holds_kernels(place: regions.Place) -> bool:
  """Whether the only window there is may be known to hold whole kernels."""
  return bool(
      place.spec.layout and place.get_frame().longest == place.spec.length
      and statistics.list_kernels(place.spec.tensors))


@jax.jit
def join(parts_MxExSxF: Sequence[jax.Array]) -> jax.Array:
  """Joins along E; S is filled up by repetition, F by NaN, the unseen."""
  count, width = (max(p.shape[i] for p in parts_MxExSxF) for i in (2, 3))
  return jnp.concatenate([
      jnp.pad(p[:, :, np.arange(count) % p.shape[2]],
              ((0, 0),) * 3 + ((0, width - p.shape[3]),),
              constant_values=np.nan) for p in parts_MxExSxF], 1)


def widen(bank: Bank, width: int) -> Bank:
  """The bank with NaN for the features that it has not, up to `width`."""
  return Bank(*(jnp.pad(
      x, ((0, 0),) * 3 + ((0, width - x.shape[-1]),),
      constant_values=np.nan) for x in bank))


class Size(NamedTuple):
  """What a place's bank will hold."""
  even: int  # windows of a snapshot that decide together
  parts: int
  bytes: int


def measure_size(place: regions.AnyPlace, description: Description) -> Size:
  """The `Size` of the bank that `fill` makes."""
  if isinstance(place, regions.Numbers):
    return Size(1, 1, place.numbers_MxF.size * 8)
  spec = place.spec
  parts = (place.get_frame().parts if spec.layout
           else min(regions.STRETCHES, spec.length))
  rows = len(place.region.low_M if place.pairs_Mx2 is None
             else place.pairs_Mx2)
  snapshots = place.source.weights_MxExP.shape[1]
  described = place.num_even + place.count_windows(spec.drawn)
  return Size(place.num_even, parts,
              rows * snapshots * described * parts * description.per_part * 4)


class _Windows(NamedTuple):
  """Windows of N snapshots, S of each."""
  m_N: np.ndarray  # networks
  e_N: np.ndarray  # their snapshots
  starts_NxS: np.ndarray
  sorted_NxSxL: np.ndarray | None = None  # values by part, ascending


class Describer(NamedTuple):
  """Describes windows of every network and snapshot."""
  source: windows.Source
  number_P: np.ndarray  # of each part of `source`; empty for equal stretches
  length: int
  parts: int
  description: Description

  @classmethod
  def make(cls, place: regions.Place,
           description: Description) -> 'Describer':
    spec = place.spec
    if not spec.layout:
      return cls(place.source, np.zeros(0, np.int32), spec.length,
                 min(regions.STRETCHES, spec.length), description)
    frame = place.get_frame()
    return cls(place.source, np.asarray(frame.number_P), spec.length,
               frame.parts, description)

  def __call__(self, starts_MxExS: Array) -> jax.Array:
    """[M, E, S, F] of the windows that begin at these places."""
    networks, snapshots, count = starts_MxExS.shape
    m_N, e_N = np.divmod(np.arange(networks * snapshots, dtype=np.int32),
                         np.int32(snapshots))
    cut = _Windows(m_N, e_N, np.asarray(starts_MxExS).reshape(-1, count))
    on_cores = self.description.presorted and jax.default_backend() == 'cpu'
    described = (self._describe_on_cores if on_cores else self._describe)(cut)
    return described.reshape(networks, snapshots, count, -1)

  def _describe(self, cut: _Windows) -> jax.Array:
    return _describe(self.source, self.number_P, cut, length=self.length,
                     parts=self.parts, by=self.description.describe)

  def _describe_on_cores(self, cut: _Windows) -> jax.Array:
    """The same in chunks of snapshots, whose values the host sorts."""
    weights_MxExP, parts_AxP, layout_M = map(np.asarray, self.source)
    count, each_snapshot = cut.starts_NxS.shape
    each = min(count, max(1, _CHUNK // (self.length * each_snapshot)))

    def sort(n: int, start: int) -> np.ndarray:
      window, m = slice(start, start + self.length), cut.m_N[n]
      return features.sort_on_host(
          weights_MxExP[m, cut.e_N[n], window], number_parts(
              parts_AxP[layout_M[m], window], self.number_P, self.parts, np))

    def describe_chunk(first: int) -> jax.Array:
      # The last chunk repeats its last snapshot: one shape, one program.
      rows = np.minimum(np.arange(first, first + each), count - 1)
      return self._describe(_Windows(
          cut.m_N[rows], cut.e_N[rows], cut.starts_NxS[rows], np.array(
              [[sort(n, s) for s in cut.starts_NxS[n].tolist()]
               for n in rows])))

    done = [describe_chunk(0)]  # compiled once, before threads ask for it
    with concurrent.futures.ThreadPoolExecutor(cores.count()) as pool:
      done += pool.map(describe_chunk, range(each, count, each))
    return jnp.concatenate(done)[:count]


def number_parts(part_L: Any, number_P: Any, parts: int,
                 xp: ModuleType = jnp) -> Any:
  """The number of each value's part, or of its stretch of the window."""
  if number_P.size:
    return xp.asarray(number_P)[part_L]
  return xp.arange(len(part_L)) * parts // len(part_L)


@functools.partial(jax.jit, static_argnames=('length', 'parts', 'by'))
def _describe(source: windows.Source, number_P: jax.Array, cut: _Windows, *,
              length: int, parts: int,
              by: Callable[..., jax.Array]) -> jax.Array:
  def describe(m: Any, e: Any, start: Any, *sorted_: Any) -> jax.Array:
    part_L = jax.lax.dynamic_slice(
        source.parts_AxP, (source.layout_M[m], start), (1, length))[0]
    return by(windows.window(source.weights_MxExP, m, e, start, length),
              number_parts(part_L, number_P, parts), parts, *sorted_)

  def describe_snapshot(at: Any) -> jax.Array:
    m, e, starts_S, *sorted_ = at
    return jax.vmap(lambda start, *sorted_: describe(m, e, start, *sorted_))(
        starts_S, *sorted_)

  given = cut[:3] if cut.sorted_NxSxL is None else cut
  return jax.lax.map(describe_snapshot, tuple(given))

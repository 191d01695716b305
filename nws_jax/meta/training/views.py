"""What models see of every network: windows in a region of its vector.

They see the vectors themselves, or descriptions of their windows, which are
made once and lie in a `windows.Bank`.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax.meta import settings
from nws_jax.meta.classifiers import equivariant, transformer
from nws_jax.meta.data import features, statistics, windows

STRETCHES = 16  # parts of a window whose layout must not be known


class Looks(NamedTuple):
  """What of a network is looked at."""
  length: int  # of a window
  even: int  # windows that decide together, at most
  drawn: int  # windows of a snapshot that descriptions are trained on, at most
  layout: bool  # whether a classifier may know the tensors
  tensors: tuple = ()  # of each layout its `layouts.Tensor`s


class Frame(NamedTuple):
  """What all networks of a place have in common; see `find_frame`."""
  number_P: np.ndarray  # int32, the number of each part that occurs
  parts: int  # how many occur
  longest: int  # values of the longest region


class Place(NamedTuple):
  """What models see of every network: windows in a region of its vector."""
  source: windows.Source
  region: windows.Region
  looks: Looks
  pairs_Mx2: Any = None  # rows of `source` that are compared, if any are
  seed: int = 0  # of the windows drawn for training
  frame: Any = None  # `Frame` of other networks that these are read like


class Numbers(NamedTuple):
  """A `Place` of no windows but a few numbers of each network, for fast."""
  numbers_MxF: np.ndarray


def find_form(place, name):
  """What is static of how a classifier sees vectors: the length, and more.

  None where it sees a description of them instead, or no vectors at all.
  """
  if isinstance(place, Numbers):
    return None
  length, even = place.looks.length, count_even(place)
  if name == settings.CNN:
    return length, even
  if name == settings.TRANSFORMER:
    number_P, parts, _ = get_frame(place)
    if not place.looks.layout:
      number_P, parts = np.zeros(0, int), 1
    return length, even, parts, tuple(number_P.tolist())
  if name == settings.EQUIVARIANT:
    return length, equivariant.plan(place.looks.tensors[0])
  return None


def measure_size(place):
  """(windows that decide, parts, bytes) of a place's `windows.Bank`."""
  if isinstance(place, Numbers):
    return 1, 1, place.numbers_MxF.size * 8
  looks, region = place.looks, place.region
  even, drawn = (_count(place, n) for n in (looks.even, looks.drawn))
  parts = (get_frame(place).parts if looks.layout
           else min(STRETCHES, looks.length))
  rows = len(region.low_M if place.pairs_Mx2 is None else place.pairs_Mx2)
  snapshots = place.source.weights_MxExP.shape[1]
  return (even, parts, rows * snapshots * (even + drawn) * parts
          * features.PER_PART * 4)


def make(name, form):
  """(`fit.View` of a classifier, what else its module takes)."""
  if name == settings.CNN:
    return windows.cut(*form), ()
  if name == settings.TRANSFORMER:
    return transformer.cut(*form), (form[2],)
  if name == settings.EQUIVARIANT:
    return equivariant.look(), (form[1],)
  return windows.look_up(), ()


def count_even(place):
  """How many windows of a snapshot decide together."""
  return (1 if isinstance(place, Numbers)
          else _count(place, place.looks.even))


def _count(place, most):
  """No more windows than there are different ones."""
  return min(most, get_frame(place).longest - place.looks.length + 1)


def get_frame(place):
  """The `Frame` that a place is read in: its own, if it has no other."""
  if place.frame is not None:
    return place.frame
  region = place.region
  return find_frame(np.asarray(place.source.parts_AxP), set(zip(
      region.low_M.tolist(), region.high_M.tolist(),
      np.asarray(place.source.layout_M).tolist())))


def find_frame(parts_AxP, bounds):
  """The `Frame` of regions; parts that lie in none of them have no number.

  Args:
    parts_AxP: the tensor of each value, by layout.
    bounds: (low, high, layout) of the regions there are.
  """
  found = set()
  for low, high, a in bounds:
    found.update(np.unique(parts_AxP[a, low:high]))
  number_P = np.zeros(parts_AxP.max() + 1, np.int32)
  number_P[sorted(found)] = np.arange(len(found))
  return Frame(number_P, len(found),
               int(max(high - low for low, high, _ in bounds)))


def fill(place, name, key):
  """The `windows.Bank` of a place: what `fast`, or a fitted rung, looks at."""
  if isinstance(place, Numbers):
    numbers = jnp.asarray(place.numbers_MxF, jnp.float32)[:, None, None]
    return windows.Bank(numbers, numbers)
  source, region, looks, pairs_Mx2, seed, _ = place
  key = jax.random.fold_in(key, seed)
  networks, snapshots = source.weights_MxExP.shape[:2]
  if name == settings.MAJORITY:
    rows = networks if pairs_Mx2 is None else len(pairs_Mx2)
    nothing = jnp.zeros((rows, snapshots, count_even(place), 1))
    return windows.Bank(nothing, nothing)
  frame = get_frame(place)
  low_M, high_M = jnp.asarray(region.low_M), jnp.asarray(region.high_M)
  number_P, parts = np.zeros(0, np.int32), min(STRETCHES, looks.length)
  if looks.layout:
    number_P, parts = frame.number_P, frame.parts
  describe = functools.partial(
      windows.describe, source, number_P=number_P,
      length=looks.length, parts=parts, by=statistics.describe
      if name in settings.STATISTICS else features.describe)
  even_MxS = jax.vmap(lambda low, high: windows.space_starts(
      low, high, looks.length, count_even(place)))(low_M, high_M)
  even = describe(jnp.repeat(even_MxS[:, None], snapshots, 1))
  if name in settings.STATISTICS and _sees_kernels(place):
    even = jnp.concatenate([even, statistics.measure_kernels(
        source.weights_MxExP, source.layout_M, looks.tensors, region.low_M,
        region.high_M)[:, :, None]], -1)
  if pairs_Mx2 is not None:  # how far two networks are apart, window by window
    even = jnp.abs(even[pairs_Mx2[:, 0]] - even[pairs_Mx2[:, 1]])
    return windows.Bank(even, even)
  drawn = _count(place, looks.drawn)
  if frame.longest == looks.length:
    return windows.Bank(even, even)  # there is one window only
  shape = (networks, snapshots, drawn)
  low, high = (jnp.broadcast_to(x_M[:, None, None], shape)
               for x_M in (low_M, high_M))
  return windows.Bank(
      describe(windows.draw_starts(key, low, high, looks.length)), even)


def _sees_kernels(place):
  """Whether the one window there is may be known to hold whole kernels."""
  return (place.looks.layout and get_frame(place).longest
          == place.looks.length and statistics.list_kernels(
              place.looks.tensors))


def share_vectors(place, name, form):
  """What models that see the vectors themselves share."""
  if name == settings.EQUIVARIANT:
    return equivariant.describe(place.source.weights_MxExP, form[1])
  return (place.source, jnp.asarray(place.region.low_M),
          jnp.asarray(place.region.high_M))


@jax.jit
def join(parts_MxExSxF):
  """Joins along E; S is filled up by repetition, F by NaN, the unseen."""
  count, width = (max(p.shape[i] for p in parts_MxExSxF) for i in (2, 3))
  return jnp.concatenate([
      jnp.pad(p[:, :, np.arange(count) % p.shape[2]],
              ((0, 0),) * 3 + ((0, width - p.shape[3]),),
              constant_values=np.nan) for p in parts_MxExSxF], 1)

"""The statistics that estimators are fitted to: plain numbers of every tensor.

Of each part of a window: mean, variance, skewness, kurtosis and five
percentiles, of its values and of the differences between neighbours; of each
kernel that the window holds as a whole: spectral norm and effective rank.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nws_jax.meta.data import features, layouts

_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
PER_PART = 2 * (4 + len(_LEVELS))
_TINY = 1e-30


def describe(window_L: jax.Array, part_L: jax.Array, parts: int) -> jax.Array:
  """Statistics of each part of one window: [parts * PER_PART].

  NaN where the window holds nothing of a part, or only one value of it and so
  no difference. Arguments as of `features.describe`.
  """
  own = _summarise(window_L, part_L, parts)
  # A difference across a border belongs to neither part: it gets a segment of
  # its own behind its part's, which keeps the segments ascending.
  segment_D = 2 * part_L[:-1] + (part_L[1:] != part_L[:-1])
  between = _summarise(jnp.diff(window_L), segment_D, 2 * parts)[::2]
  return jnp.concatenate([own, between], 1).ravel()


def _summarise(values_L: jax.Array, part_L: jax.Array, parts: int) -> jax.Array:
  """[parts, PER_PART / 2], NaN for empty parts."""
  def sums(x_L: jax.Array) -> jax.Array:
    return jax.ops.segment_sum(x_L, part_L, parts, indices_are_sorted=True)

  count = sums(jnp.ones_like(values_L))
  divisor = jnp.maximum(count, 1)
  mean = sums(values_L) / divisor
  centred_L = values_L - mean[part_L]
  variance = sums(centred_L**2) / divisor
  scaled_L = centred_L / jnp.sqrt(variance + _TINY)[part_L]
  columns = jnp.stack([mean, variance, sums(scaled_L**3) / divisor,
                       sums(scaled_L**4) / divisor], 1)
  described = jnp.concatenate(
      [columns, features.find_quantiles(
          features.sort(values_L, part_L), count, _LEVELS)], 1)
  return jnp.where(count[:, None] > 0, described, jnp.nan)


def list_kernels(layouts_A: layouts.Layouts) -> tuple[str, ...]:
  """Names of all layers with a kernel of two axes or more, in order.

  Args:
    layouts_A: of each architecture its `layouts.Tensor`s.
  """
  return tuple(dict.fromkeys(
      t.layer for tensors in layouts_A for t in tensors if t.is_kernel))


def measure_kernels(weights_MxExP: jax.Array, layout_M: Any,
                    layouts_A: layouts.Layouts, low_M: np.ndarray,
                    high_M: np.ndarray) -> np.ndarray:
  """Spectra of the kernels within low to high - 1: [M, E, kernels * 2].

  NaN for the kernels that a network does not have there.

  Args:
    weights_MxExP: the vectors, on the device.
    layout_M: which of `layouts_A` a network has.
    layouts_A: of each architecture its `layouts.Tensor`s.
    low_M: first value of each network's window.
    high_M: exclusive end of it.
  """
  return _measure_kernels(_Same(weights_MxExP), layouts_A, *(
      tuple(np.asarray(x).tolist()) for x in (layout_M, low_M, high_M)))


class _Same(NamedTuple):
  """An array, equal to itself alone."""
  array: jax.Array

  def __hash__(self) -> int:
    return id(self.array)

  def __eq__(self, other: object) -> bool:
    return isinstance(other, _Same) and self.array is other.array


@functools.lru_cache(maxsize=1)  # all rungs of a ladder look at the same ones
def _measure_kernels(weights: _Same, layouts_A: layouts.Layouts,
                     *bounds: tuple[int, ...]) -> np.ndarray:
  layout_M, low_M, high_M = map(np.array, bounds)
  weights_MxExP, kernels = weights.array, list_kernels(layouts_A)
  result = np.full(
      weights_MxExP.shape[:2] + (len(kernels), 2), np.nan, np.float32)
  for a, tensors in enumerate(layouts_A):
    for t in tensors:
      rows = np.flatnonzero(
          (layout_M == a) & (low_M <= t.start) & (t.stop <= high_M))
      if t.is_kernel and len(rows):
        result[rows, :, kernels.index(t.layer)] = _measure_spectra(
            weights_MxExP, rows, t.start, shape=t.published)
  return result.reshape(result.shape[:2] + (-1,))


@functools.partial(jax.jit, static_argnames='shape')
def _measure_spectra(weights_MxExP: jax.Array, rows: jax.Array,
                     start: jax.Array, *, shape: tuple[int, ...]) -> jax.Array:
  def one(m: jax.Array) -> jax.Array:
    kernels_ExS = jax.lax.dynamic_slice_in_dim(
        weights_MxExP[m], start, int(np.prod(shape)), axis=1)
    return jax.vmap(measure_spectrum)(
        kernels_ExS.reshape(kernels_ExS.shape[0], shape[0], -1))
  return jax.lax.map(one, rows)


def measure_spectrum(kernel_OxI: jax.Array) -> jax.Array:
  """(log spectral norm, effective rank) of a matrix.

  The effective rank is the exponential of the entropy of the singular values
  as shares of their sum (Roy & Vetterli, EUSIPCO 2007).
  """
  values = jnp.linalg.svd(kernel_OxI, compute_uv=False)
  shares = values / jnp.maximum(values.sum(), _TINY)
  entropy = -jnp.sum(jnp.where(shares > 0, shares * jnp.log(
      jnp.maximum(shares, _TINY)), 0))
  return jnp.stack([jnp.log(values[0] + _TINY), jnp.exp(entropy)])

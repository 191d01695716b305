"""The features of the fast classifier: how the values of each part are spread.

A window is described part by part: a part is a tensor where the layout is
known, or a stretch of the window. The description has no parameters, so it is
computed once for each window and not at every step.
"""

from typing import Sequence

import jax
import jax.numpy as jnp
import numpy as np

_LEVELS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_TINY = 1e-12
PER_PART = 6 + len(_LEVELS)


def describe(window_L: jax.Array, part_L: jax.Array, parts: int,
             sorted_L: jax.Array | None = None) -> jax.Array:
  """Statistics of each part of one window: [parts * PER_PART].

  Mean, logarithms of the standard deviation, the mean modulus and the mean
  fourth power of the standardised values, mean log modulus, skewness, and
  seven quantiles. NaN where the window holds nothing of a part.

  Args:
    window_L: consecutive weights.
    part_L: the part of each, ascending, 0 to parts - 1.
    parts: how many there can be.
    sorted_L: what `sort` gives, if it is known.
  """
  def sums(values_L: jax.Array) -> jax.Array:
    return jax.ops.segment_sum(
        values_L, part_L, parts, indices_are_sorted=True)

  count = sums(jnp.ones_like(window_L))
  divisor = jnp.maximum(count, 1)
  mean = sums(window_L) / divisor
  centred_L = window_L - mean[part_L]
  deviation = jnp.sqrt(sums(centred_L**2) / divisor + _TINY**2)
  scaled_L = centred_L / deviation[part_L]
  modulus_L = jnp.abs(window_L)
  columns = [
      mean, jnp.log(deviation), jnp.log(sums(modulus_L) / divisor + _TINY),
      jnp.log(sums(scaled_L**4) / divisor + _TINY),
      sums(jnp.log(modulus_L + _TINY)) / divisor, sums(scaled_L**3) / divisor]
  if sorted_L is None:
    sorted_L = sort(window_L, part_L)
  quantiles = find_quantiles(sorted_L, count, _LEVELS)
  described = jnp.concatenate([jnp.stack(columns, 1), quantiles], 1)
  return jnp.where(count[:, None] > 0, described, jnp.nan).ravel()


def sort(values_L: jax.Array, part_L: jax.Array) -> jax.Array:
  """The values of each part in ascending order."""
  return jax.lax.sort((part_L, values_L), num_keys=2)[1]


def sort_on_host(values_L: np.ndarray, part_L: np.ndarray) -> np.ndarray:
  """`sort` by NumPy: XLA's on CPU, which calls for each comparison, takes 20
  times as long."""
  sorted_L, borders = np.array(values_L, np.float32), np.flatnonzero(
      np.diff(part_L)) + 1
  for start, stop in zip([0, *borders], [*borders, len(sorted_L)]):
    sorted_L[start:stop].sort()
  return sorted_L


def find_quantiles(sorted_L: jax.Array, count: jax.Array,
                   levels: Sequence[float]) -> jax.Array:
  """Linear quantiles within each part: [parts, levels].

  Args:
    sorted_L: what `sort` gives.
    count: values of each part.
    levels: of the quantiles, 0 to 1.
  """
  count = count.astype(jnp.int32)
  first = jnp.cumsum(count) - count
  at = np.array(levels)[None] * jnp.maximum(count - 1, 0)[:, None]
  below = jnp.floor(at).astype(jnp.int32)
  share = at - below
  last = sorted_L.size - 1
  low = sorted_L[jnp.minimum(first[:, None] + below, last)]
  high = sorted_L[jnp.minimum(first[:, None] + jnp.ceil(at).astype(jnp.int32),
                               last)]
  return low + share * (high - low)

"""Windows of consecutive weights, cut on the device.

`Source` holds every vector once; a window is named by (network, epoch, start)
and cut under jit where it is used. Starts are uniform in low ... high - L, both
ends included (docs/recipe.md, section 11). Values are not normalised.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray  # on the device, or on its way there


class Source(NamedTuple):
  """What windows are cut from. Vectors of several lengths are padded."""
  weights_MxExP: jax.Array
  parts_AxP: jax.Array  # int32: the tensor of each value, by layout
  layout_M: jax.Array  # int32: row of `parts_AxP`


def keep(source: Source, kept_AxP: np.ndarray) -> tuple[Source, np.ndarray]:
  """The `Source` of the kept values of each layout, without gaps.

  Args:
    source: `Source`.
    kept_AxP: whether a value is kept, by layout.

  Returns:
    (`Source`, the new length of each network's vector).
  """
  layouts = [np.flatnonzero(kept_P) for kept_P in kept_AxP]
  lengths_A = np.array([len(x) for x in layouts], np.int32)
  index_AxQ = np.stack([np.resize(x, lengths_A.max()) for x in layouts])
  layout_M = np.asarray(source.layout_M)
  weights_MxExQ = jnp.take_along_axis(
      source.weights_MxExP, jnp.asarray(index_AxQ)[layout_M][:, None], 2)
  parts_AxQ = jnp.take_along_axis(source.parts_AxP, jnp.asarray(index_AxQ), 1)
  return (Source(weights_MxExQ, parts_AxQ, source.layout_M),
          lengths_A[layout_M])


def window(weights_MxExP: jax.Array, m: Any, e: Any, start: Any, length: int
           ) -> jax.Array:
  """Values start to start + length - 1 of network m's snapshot e: [L]."""
  return jax.lax.dynamic_slice(
      weights_MxExP, (m, e, start), (1, 1, length))[0, 0]


@functools.partial(jax.jit, static_argnames='length')
def draw_starts(key: jax.Array, low_B: Any, high_B: Any, length: int
                ) -> jax.Array:
  """Uniform starts of windows within low ... high - 1; consumes the key."""
  return low_B + jax.random.randint(
      key, low_B.shape, 0, high_B - low_B - length + 1)


def space_starts(low: Any, high: Any, length: int, count: int) -> jax.Array:
  """[count] evenly spaced starts, the first and the last window included."""
  last = high - low - length
  steps = jnp.arange(count) / max(count - 1, 1)
  return low + jnp.round(steps * last).astype(jnp.int32)

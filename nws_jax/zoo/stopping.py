"""The published early stopping (docs/recipe.md, section 10), one network.

v_t is the validation accuracy at evaluation t = 1, 2, ... Three counters, from
t = 2 on: drops in a row of rises and falls, evaluations without a change, and
evaluations below the running mean s_t = (s_(t-1) + v_t) / 2. None of them stops
a network before its 20th evaluation.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

FLAT, BELOW, LEAST = 30, 30, 20


class Watch(NamedTuple):
  """Scalars; `last` and `smooth` are NaN before the first evaluation."""
  drops: jax.Array
  flat: jax.Array
  below: jax.Array
  evaluations: jax.Array
  last: jax.Array
  smooth: jax.Array


def init() -> Watch:
  zero, nothing = jnp.int32(0), jnp.float32(jnp.nan)
  return Watch(zero, zero, zero, zero, nothing, nothing)


def update(watch: Watch, accuracy: jax.Array, patience: int
           ) -> tuple[Watch, jax.Array]:
  """(watch, whether to stop) after one more evaluation.

  Args:
    watch: `Watch`.
    accuracy: validation accuracy, a fraction.
    patience: drops that stop a network; 0 never stops one.
  """
  v = jnp.float32(accuracy)
  first = watch.evaluations == 0
  change = jnp.where(first, 0, v - watch.last)
  smooth = jnp.where(first, v, (watch.smooth + v) / 2)
  drops = jnp.where(change < 0, watch.drops + 1,
                    jnp.where(change > 0, 0, watch.drops))
  # 1e-8 of the published percentages: no change at all in float32.
  flat = jnp.where((change == 0) & ~first, watch.flat + 1, 0)
  below = watch.below + (v < smooth)
  new = Watch(drops, flat, below, watch.evaluations + 1, v, smooth)
  stop = (drops >= patience) | (flat >= FLAT) | (below >= BELOW)
  return new, stop & (new.evaluations >= LEAST) & (patience > 0)

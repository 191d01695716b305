"""The published early stopping of one network (docs/recipe.md, section 10).

Let v_t be the validation accuracy at evaluation t = 1, 2, ..., and
s_t = (s_(t-1) + v_t) / 2 its running mean. From t = 2 on, three counters count

  drops  falls of v_t since it last rose
  flat   evaluations in a row without a change of v_t
  below  evaluations with v_t < s_t, over the whole training

A network stops when one of them reaches its limit, but not before its 20th
evaluation.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

FLAT, BELOW = 30, 30  # limits of these counters
LEAST = 20  # evaluations of every network


class Watch(NamedTuple):
  """The state of early stopping, scalars."""
  drops: jax.Array
  flat: jax.Array
  below: jax.Array
  evaluations: jax.Array
  last: jax.Array  # v_t; NaN before the first evaluation
  smooth: jax.Array  # s_t; NaN before the first evaluation


def init() -> Watch:
  """The state before the first evaluation."""
  zero, nothing = jnp.int32(0), jnp.float32(jnp.nan)
  return Watch(zero, zero, zero, zero, nothing, nothing)


def update(watch: Watch, accuracy: jax.Array | float,
           patience: jax.Array | int) -> tuple[Watch, jax.Array]:
  """Updates the counters after one more evaluation.

  Args:
    watch: the state before.
    accuracy: validation accuracy, a fraction.
    patience: the limit of `drops`; 0 turns early stopping off.

  Returns:
    (the state after, bool: whether the network stops).
  """
  v = jnp.float32(accuracy)
  first = watch.evaluations == 0
  change = jnp.where(first, 0, v - watch.last)
  smooth = jnp.where(first, v, (watch.smooth + v) / 2)
  drops = jnp.where(change < 0, watch.drops + 1,
                    jnp.where(change > 0, 0, watch.drops))
  # The published limit is 1e-8 of a percentage, which is no change in float32.
  flat = jnp.where((change == 0) & ~first, watch.flat + 1, 0)
  below = watch.below + (v < smooth)
  new = Watch(drops, flat, below, watch.evaluations + 1, v, smooth)
  stop = (drops >= patience) | (flat >= FLAT) | (below >= BELOW)
  return new, stop & (new.evaluations >= LEAST) & (patience > 0)

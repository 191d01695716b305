"""The initialisers of kernels: one table, keyed by the words of a property.

A new initialiser is one entry and its word in `space`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nws_jax import space


class Draws(NamedTuple):
  """What an initialiser computes values from: float32 [P] each."""
  uniform_P: jax.Array  # independent draws, strictly in (0, 1)
  normal_P: jax.Array  # the same draws, as standard normal ones
  fan_sum_P: jax.Array  # fan-in + fan-out of the value's layer


def _constant(draws: Draws) -> jax.Array:
  return jnp.full_like(draws.uniform_P, 0.1)


def _normal(draws: Draws) -> jax.Array:
  return draws.normal_P


def _glorot_uniform(draws: Draws) -> jax.Array:
  return jnp.sqrt(6 / draws.fan_sum_P) * (2 * draws.uniform_P - 1)


def _glorot_normal(draws: Draws) -> jax.Array:
  # TensorFlow 1's rule (docs/recipe.md, section 4): the distribution is cut off
  # at two nominal standard deviations, without correcting the variance for it.
  edge = 0.5 * (1 + math.erf(-2 / math.sqrt(2)))
  return jnp.sqrt(2 / draws.fan_sum_P) * jax.scipy.special.ndtri(
      edge + (1 - 2 * edge) * draws.uniform_P)


INITIALIZERS: dict[str, Callable[[Draws], jax.Array]] = {
    'constant': _constant,
    'normal': _normal,
    'glorot_uniform': _glorot_uniform,
    'glorot_normal': _glorot_normal,
}
space.check_table(space.INITIALIZATION, INITIALIZERS)


def draw(initialization: jax.Array, draws: Draws) -> jax.Array:
  """Kernel values float32 [P], by the initialiser with this index."""
  return jnp.select([initialization == n for n in range(len(INITIALIZERS))],
                    [f(draws) for f in INITIALIZERS.values()])

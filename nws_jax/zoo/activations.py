"""The activations: one table of records, keyed by the words of a property.

A new activation is one entry and its word in `space`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from nws_jax import space


class Activation(NamedTuple):
  """One activation.

  It must be monotone, since pooling precedes it. Its derivative must follow
  from its value, since nothing else is kept for the gradient.
  """
  value: Callable[[jax.Array], jax.Array]
  backward: Callable[[jax.Array, jax.Array], jax.Array]  # (y, dy) -> dx
  flax: Callable[[jax.Array], jax.Array]  # the same in a plain Flax module


_SELU, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
ACTIVATIONS = {
    'relu': Activation(
        jax.nn.relu, lambda y, dy: jnp.where(y > 0, dy, 0), nn.relu),
    'elu': Activation(
        lambda x: jnp.where(x > 0, x, jnp.expm1(jnp.minimum(x, 0))),
        lambda y, dy: jnp.where(y > 0, dy, dy * (y + 1)), nn.elu),
    'sigmoid': Activation(
        jax.nn.sigmoid, lambda y, dy: dy * y * (1 - y), nn.sigmoid),
    'tanh': Activation(jnp.tanh, lambda y, dy: dy * (1 - y * y), nn.tanh),
    'leaky_relu': Activation(
        jax.nn.leaky_relu, lambda y, dy: jnp.where(y > 0, dy, 0.01 * dy),
        nn.leaky_relu),
    'selu': Activation(
        jax.nn.selu, lambda y, dy: dy * jnp.where(
            y > 0, _SELU, y + _SELU * _SELU_ALPHA), nn.selu),
    'softplus': Activation(
        jax.nn.softplus, lambda y, dy: -dy * jnp.expm1(-y), nn.softplus),
    'softsign': Activation(
        jax.nn.soft_sign, lambda y, dy: dy * jnp.square(1 - jnp.abs(y)),
        nn.soft_sign),
}
space.check_table(space.ACTIVATION, ACTIVATIONS)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def activate(x: jax.Array, index: jax.Array,
             names: Sequence[str]) -> jax.Array:
  """The activation names[index], elementwise."""
  return jax.lax.switch(index, [ACTIVATIONS[n].value for n in names], x)


def _forward(x: jax.Array, index: jax.Array, names: Sequence[str]
             ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  y = activate(x, index, names)
  return y, (y, index)


def _backward(names: Sequence[str], residuals: tuple[jax.Array, jax.Array],
              dy: jax.Array) -> tuple[jax.Array, None]:
  y, index = residuals
  return jax.lax.switch(
      index, [ACTIVATIONS[n].backward for n in names], y, dy), None


activate.defvjp(_forward, _backward)

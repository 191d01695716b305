"""Adam, RMSProp and momentum with TensorFlow 1's rules, as one formula.

  m <- b1 m + c g       s <- b2 s + (1 - b2) g^2
  w <- w - lr_t m / d,  d = sqrt(s + inner) + outer, or 1 for momentum

The coefficients are a network's own, so the optimizer varies inside a program
at the price of one (docs/recipe.md, section 6).
"""

from typing import NamedTuple

import jax.numpy as jnp


class Slots(NamedTuple):
  """What an optimizer remembers of every value."""
  m_P: jnp.ndarray
  s_P: jnp.ndarray


# One column an optimizer, in the order of `space.OPTIMIZERS`.
_B1 = (0.9, 0.0, 0.95)
_C = (0.1, 1.0, 1.0)
_B2 = (0.999, 0.9, 1.0)
_INNER = (0.0, 1e-10, 0.0)
_OUTER = (1e-8, 0.0, 0.0)
_START = (0.0, 1.0, 0.0)
_ADAM, _MOMENTUM = 0, 2


def init(vector_P, optimizer):
  start = jnp.asarray(_START, vector_P.dtype)[optimizer]
  return Slots(jnp.zeros_like(vector_P), jnp.full_like(vector_P, start))


def update(gradient_P, slots, optimizer, learning_rate, step):
  """(what to add to the weights [P], slots); `step` counts from 0."""
  dtype = gradient_P.dtype

  def pick(table):
    return jnp.asarray(table, dtype)[optimizer]

  b2 = pick(_B2)
  m = pick(_B1) * slots.m_P + pick(_C) * gradient_P
  s = b2 * slots.s_P + (1 - b2) * jnp.square(gradient_P)
  t = (step + 1).astype(dtype)
  # -expm1(t log b) is 1 - b^t without its cancellation at small t.
  correction = jnp.sqrt(-jnp.expm1(t * jnp.log(dtype.type(0.999)))) / (
      -jnp.expm1(t * jnp.log(dtype.type(0.9))))
  rate = learning_rate * jnp.where(optimizer == _ADAM, correction, 1)
  root = jnp.sqrt(s + pick(_INNER)) + pick(_OUTER)
  denominator = jnp.where(optimizer == _MOMENTUM, 1, root)
  return -rate * m / denominator, Slots(m, s)

"""A small perceptron on the statistics of each part of a window.

What it took from the training windows is kept with its variables and used at
test time, so that the outputs of a window do not depend on its neighbours in a
batch.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from nws_jax.meta.classifiers import interface


class Fast(nn.Module):
  """A small perceptron on `features.describe`, encoded piecewise linearly.

  Each feature becomes `bins` numbers: how far it lies through each
  interval between quantiles of the training windows, which makes features of
  any scale comparable and lets a small network resolve fine differences
  (Gorishniy et al., arXiv 2203.05556). What a window lacks is all zero; so is,
  in training, a random share of the features, each with all of its numbers.
  """
  outputs: int
  hidden: int = 32
  bins: int = 6

  @nn.compact
  def __call__(self, features_BxF: jax.Array, train: bool,
               encoded: bool = False) -> jax.Array:
    x = features_BxF
    if not encoded:
      x = encode(x, self.variable(
          'encoder', 'knots', lambda: jnp.nanquantile(
              x, jnp.linspace(0, 1, self.bins + 1), axis=0)).value)
    # Whole features, all of their intervals.
    x = x.reshape(x.shape[0], self.bins, -1)
    x = nn.Dropout(0.3, broadcast_dims=(1,), deterministic=not train)(x)
    x = x.reshape(x.shape[0], -1)
    x = nn.relu(nn.Dense(self.hidden)(x))
    x = nn.Dropout(0.5, deterministic=not train)(x)
    return nn.Dense(self.outputs)(x)


def encode(features_BxF: jax.Array, knots_QxF: jax.Array) -> jax.Array:
  """How far each feature lies through each interval: [B, (Q - 1) * F]."""
  low, high = knots_QxF[None, :-1], knots_QxF[None, 1:]
  x = (features_BxF[:, None] - low) / jnp.maximum(high - low, 1e-9)
  x = 2 * jnp.clip(x, 0, 1) - 1
  return jnp.where(jnp.isfinite(x), x, 0).reshape(x.shape[0], -1)


def make_module(outputs: int, shape: Any = None) -> nn.Module:
  del shape  # there is none of a description
  return Fast(outputs)


def count_features(variables: interface.Variables) -> int:
  """How many features these variables were made for."""
  return variables['encoder']['knots'].shape[-1]

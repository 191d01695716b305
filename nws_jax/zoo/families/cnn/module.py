"""The same network as a plain Flax module, for users of snapshots.

  Cnn(arch, 'relu').apply(zoo.variables(id, epoch), images / 255)

Training uses `network.apply`, a faster computation of the same function; a test
compares the two.
"""

import flax.linen as nn
import jax

from nws_jax import published
from nws_jax.zoo import activations
from nws_jax.zoo.families import layers
from nws_jax.zoo.families.cnn import shapes


class Cnn(nn.Module):
  """[B, 32, 32, 3] in [0, 1] -> logits [B, 20] (recipe, section 3)."""
  arch: published.Architecture
  activation: str
  dropout: float = 0.5  # rate, as published

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    activate = activations.ACTIVATIONS[self.activation].flax

    def normalize(x: jax.Array, name: str) -> jax.Array:
      return nn.BatchNorm(not train, momentum=layers.MOMENTUM,
                          epsilon=layers.EPSILON, use_fast_variance=False,
                          name=f'{name}_bn')(x)

    for layer in shapes.layers(self.arch):
      out = layer.kernel[-1]
      if len(layer.kernel) == 4:
        x = nn.Conv(out, layer.kernel[:2], name=layer.name,
                    precision=jax.lax.Precision.HIGHEST)(x)
        x = activate(normalize(x, layer.name) if layer.norm else x)
        if layer.pool:
          x = nn.max_pool(x, (2, 2), (2, 2))
        continue
      x = x.reshape(x.shape[0], -1)
      x = nn.Dense(out, name=layer.name,
                   precision=jax.lax.Precision.HIGHEST)(x)
      if layer.name != 'output':
        x = activate(x)
        x = normalize(x, layer.name) if layer.norm else x
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
    return x

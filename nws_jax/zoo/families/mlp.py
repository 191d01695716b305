"""A multilayer perceptron, as a family.

The images, flattened row by row with the channels fastest, go through `depth`
hidden layers of `width` units: dense layer, activation, batch norm if there is
one, dropout. A last dense layer gives a logit for each of the ten classes (only
the published CNN has twenty). No two architectures share a program.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from nws_jax import layout as layouts
from nws_jax import space
from nws_jax.zoo import activations, initializers
from nws_jax.zoo.families import interface, layers

IMAGE_SHAPE = (32, 32, 3)
PROPERTIES = (
    space.DATASET, space.LEARNING_RATE, space.BATCH_SIZE, space.BATCH_NORM,
    space.AUGMENTATION, space.OPTIMIZER, space.ACTIVATION,
    space.INITIALIZATION,
    space.Property('depth', space.SHAPE, (1, 2, 3), allowed=space.Range(1, 16)),
    space.Property('width', space.SHAPE, (16, 32, 64),
                   allowed=space.Range(1, 8192)),
    space.WEIGHT_DECAY, space.DROPOUT,
)


@dataclasses.dataclass(frozen=True, order=True)
class Architecture:
  """What fixes the shapes of a network's arrays."""
  family: ClassVar[str] = 'mlp'

  depth: int
  width: int
  batch_norm: bool

  @property
  def name(self) -> str:
    return f'd{self.depth}-w{self.width}' + (
        '' if self.batch_norm else '-plain')


def architecture(row: interface.Row) -> Architecture:
  """The architecture of a population's row."""
  return Architecture(
      int(row['depth']), int(row['width']), bool(row['batch_norm']))


@functools.lru_cache(maxsize=None)
def layout(arch: Architecture) -> layouts.Layout:
  """fc1, fc2, ... and output, each as in the published CNN."""
  into, spans = math.prod(IMAGE_SHAPE), []
  for n in range(arch.depth):
    spans += layouts.layer(f'fc{n + 1}', (into, arch.width), arch.batch_norm)
    into = arch.width
  return layouts.build(arch.name, spans + layouts.layer(
      'output', (into, space.NUM_CLASSES), False))


def _settings(choices: interface.Choices, rows: Sequence[interface.Row],
              shape: interface.Shape) -> layers.Settings:
  return layers.settings(choices, rows)


def init(key: jax.Array, own: layers.Settings, arch: Architecture) -> jax.Array:
  """Draws a network: float32 [P]. `key` is consumed."""
  of = layout(arch)
  bits = jax.random.bits(key, (of.num_weights,))
  # 23 bits and half a step: strictly between 0 and 1.
  uniform_P = (bits >> 9).astype(jnp.float32) * 2.0**-23 + 2.0**-24
  fans_P = np.concatenate([
      np.full(s.stop - s.start, sum(s.shape), np.float32) for s in of.spans])
  kernel_P = initializers.draw(own.initialization, initializers.Draws(
      uniform_P, jax.scipy.special.ndtri(uniform_P), jnp.asarray(fans_P)))
  return jnp.where(of.mask('kernel'), kernel_P,
                   jnp.where(of.mask('scale', 'variance'), 1.0, 0.0))


def apply(parts: layouts.Parts, x_BxHxWC: jax.Array, own: layers.Settings,
          arch: Architecture, mode: interface.Mode
          ) -> tuple[jax.Array, dict[str, layers.Statistics]]:
  """Runs the network; see `interface.Family.apply`."""
  x = x_BxHxWC.reshape(x_BxHxWC.shape[0], -1)
  x, batch = x.astype(mode.form.dtype or x.dtype), {}
  for n in range(arch.depth):
    name = f'fc{n + 1}'
    part = parts[name]
    x = activations.activate(
        layers.dense(x, part, mode.form), own.activation, mode.options)
    if arch.batch_norm:
      statistics = part['mean'], part['variance']
      if mode.batch_statistics:
        statistics = batch[name] = layers.measure(x)
      x = layers.normalize(x, part, *statistics)
    if mode.dropout_key is not None:
      x = layers.dropout(
          jax.random.fold_in(mode.dropout_key, n), x, own.dropout)
  return layers.dense(x, parts['output'], mode.form), batch


class Mlp(nn.Module):
  """[B, 32, 32, 3] in [0, 1] -> logits [B, 10]: the same in plain Flax."""
  arch: Architecture
  activation: str
  dropout: float = 0.0  # rate

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    highest = jax.lax.Precision.HIGHEST
    x = x.reshape(x.shape[0], -1)
    for n in range(self.arch.depth):
      name = f'fc{n + 1}'
      x = nn.Dense(self.arch.width, name=name, precision=highest)(x)
      x = activations.ACTIVATIONS[self.activation].flax(x)
      if self.arch.batch_norm:
        x = nn.BatchNorm(
            not train, momentum=layers.MOMENTUM, epsilon=layers.EPSILON,
            use_fast_variance=False, name=f'{name}_bn')(x)
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
    return nn.Dense(
        space.NUM_CLASSES, name='output', precision=highest)(x)


def _module(arch: Architecture, row: interface.Row) -> Mlp:
  return Mlp(arch, row['activation'])


@functools.partial(jax.jit, static_argnames=('activation', 'arch'))
def _predict_batch(vector_P: jax.Array, images: jax.Array, activation: str,
                   arch: Architecture) -> jax.Array:
  x = images.astype(jnp.float32).reshape(*images.shape[:2], -1) / 255
  return apply(
      layout(arch).split(vector_P), x, layers.Settings(0, 0.0, 0), arch,
      interface.Mode((activation,), layers.Form()))[0]


def _predict(arch: Architecture, row: interface.Row, vector_P: np.ndarray,
             images: np.ndarray) -> jax.Array:
  return layers.predict(
      lambda batch: _predict_batch(vector_P, batch, row['activation'], arch),
      images, space.NUM_CLASSES)


def _own_mask(shape: interface.Shape, own: layers.Settings) -> None:
  return None


def _parse(record: Mapping[str, Any]) -> Architecture:
  return Architecture(**record)


def _find_form(mapped: str, form: str, precision: str) -> layers.Form:
  return layers.Form(precision)


def _describe_form(form: layers.Form) -> str:
  return f'plain; {form.precision}'


def _count(arch: Architecture) -> interface.Cost:
  kernels = [s.shape for s in layout(arch).spans if s.tensor == 'kernel']
  # The images need no gradient.
  flops = sum(2 * into * out * (3 if n else 2)
              for n, (into, out) in enumerate(kernels))
  outputs = sum(out for _, out in kernels)
  return interface.Cost(flops, kernels[0][0] + 4 * outputs,
                        2 * (kernels[0][0] + outputs))


FAMILY = interface.Family(
    name='mlp', properties=PROPERTIES, architecture=architecture, parse=_parse,
    image_shape=IMAGE_SHAPE, num_logits=space.NUM_CLASSES, layout=layout,
    masks=None, settings=_settings, options=layers.name_activations,
    own_mask=_own_mask, init=init, apply=apply,
    update_running=layers.update_running, module=_module, predict=_predict,
    forms=('auto',), find_form=_find_form, describe_form=_describe_form,
    cost=_count)

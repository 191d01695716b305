"""The published CNN (docs/recipe.md, sections 3 to 5), as a family.

Networks of several architectures may share a program by masks if they have the
same `depth_conv` and `batch_norm`.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from nws_jax import layout, published
from nws_jax.zoo.families import interface, layers
from nws_jax.zoo.families.cnn import conv, cost, module, network, shapes


class Settings(NamedTuple):
  """What varies between the networks of a program."""
  activation: Any  # index into the program's activations
  dropout: Any  # rate
  initialization: Any  # index into `initializers.INITIALIZERS`
  sizes: shapes.Sizes | None = None  # in an envelope


def settings(choices: interface.Choices, rows: Sequence[interface.Row],
             shape: interface.Shape) -> Settings:
  """`Settings` of NumPy arrays [M]; see `interface.Family`."""
  sizes = None
  if isinstance(shape, interface.Envelope):
    sizes = shapes.Sizes(*map(np.stack, zip(*(
        shapes.sizes(published.architecture(row), shape) for row in rows))))
  return Settings(*layers.settings(choices, rows), sizes)


def _own_mask(shape: interface.Shape, own: Settings) -> jax.Array | None:
  return None if own.sizes is None else network.own_mask(shape, own.sizes)


def _init(key: jax.Array, own: Settings, shape: interface.Shape) -> jax.Array:
  return network.init(key, own.initialization, shape, own.sizes)


def _apply(parts: layout.Parts, x: jax.Array, own: Settings,
           shape: interface.Shape, mode: interface.Mode
           ) -> tuple[jax.Array, dict[str, Any]]:
  style = network.Style(own.activation, own.dropout, own.sizes)
  return network.apply(parts, x, style, shape, mode)


def _module(arch: published.Architecture, row: interface.Row) -> module.Cnn:
  return module.Cnn(arch, row['activation'], dropout=0.0)


def _predict(arch: published.Architecture, row: interface.Row,
             vector_P: np.ndarray, images: np.ndarray) -> jax.Array:
  return network.predict(arch, row['activation'], vector_P, images)


def _parse(record: Mapping[str, Any]) -> published.Architecture:
  return published.Architecture(**record)


def _pool(arch: published.Architecture) -> Hashable:
  return arch.depth_conv, arch.batch_norm


FAMILY = interface.Family(
    name=published.FAMILY, properties=published.ALL,
    architecture=published.architecture, parse=_parse,
    image_shape=shapes.IMAGE_SHAPE, num_logits=published.NUM_LOGITS,
    layout=shapes.layout,
    masks=interface.Masks(_pool, shapes.cover, shapes.places),
    settings=settings, options=layers.name_activations, own_mask=_own_mask,
    init=_init, apply=_apply, update_running=layers.update_running,
    module=_module, predict=_predict, forms=('auto', 'banded', 'toom_cook'),
    find_form=conv.find_form, describe_form=conv.describe, cost=cost.count)

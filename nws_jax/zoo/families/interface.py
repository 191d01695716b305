"""What the trainer, the plan and the tools need to know of a kind of network.

A family is one `Family` record, and one line of `families.FAMILIES`. All its
functions are for ONE network; the trainer maps them over a population. What
fixes the shapes of a network's arrays is its architecture: a hashable record
with a `name` and, as a class attribute, the name of its `family`. Architectures
are ordered, smaller networks first.

Letters: P values of the vector, M networks, B batch, N images, K logits.
"""

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import flax.linen as nn
import jax
import numpy as np

from nws_jax import layout as layouts
from nws_jax import space

Row = Mapping[str, Any]  # of a population
Choices = Mapping[str, tuple[Any, ...]]  # {property: values}


class Architecture(Protocol):
  """What fixes the shapes of a network's arrays; a dataclass."""
  family: str

  @property
  def name(self) -> str: ...

  def __lt__(self, other: Any) -> bool: ...

  def __hash__(self) -> int: ...


class Envelope(NamedTuple):
  """Several architectures that one program trains by masks."""
  members: tuple[Any, ...]  # ascending

  @property
  def family(self) -> str:
    return self.members[0].family


Shape = Any  # an `Architecture` or an `Envelope`


class Mode(NamedTuple):
  """How a network is run."""
  options: Hashable  # of the family
  form: Any  # of the family: how its dots are computed
  dropout_key: jax.Array | None = None  # dropout is on if given
  batch_statistics: bool = False  # normalise by those of the batch, not by the
  #   running statistics


class Cost(NamedTuple):
  """The cost of training, for one image."""
  flops: float  # operations of the dots, on CPU
  activations: float  # values of the layers, copies included
  held: float  # values that an accelerator holds at once


@dataclasses.dataclass(frozen=True)
class Masks:
  """How several architectures share a program, as parts of an envelope."""
  pool: Callable[[Any], Hashable]  # only architectures of one pool may share
  cover: Callable[[Sequence[Any]], Any]  # that with the largest of each size
  places: Callable[[Any, Shape], np.ndarray]  # int [P]: where the values of an
  #   architecture lie in the vector of the envelope


@dataclasses.dataclass(frozen=True)
class Family:
  """A kind of network. All fields are required."""
  name: str
  # All properties of a population. Each one's draw is keyed by its place.
  properties: tuple[space.Property, ...]
  architecture: Callable[[Row], Any]  # of a row
  parse: Callable[[Mapping[str, Any]], Any]  # inverse of dataclasses.asdict
  image_shape: tuple[int, int, int]  # height, width, channels
  num_logits: int
  layout: Callable[[Shape], layouts.Layout]
  masks: Masks | None  # None: no two architectures share a program

  # What varies inside a program: a pytree of arrays [M], for rows that the
  # program of a shape trains.
  settings: Callable[[Choices, Sequence[Row], Shape], Any]
  # What a program is compiled for, beside the shape and the form.
  options: Callable[[Choices], Hashable]
  own_mask: Callable[[Shape, Any], jax.Array | None]  # bool [P]: which values
  #   of an envelope's vector are the network's; None: all are
  init: Callable[[jax.Array, Any, Shape], jax.Array]  # (key, settings, shape)
  #   -> float32 [P]
  # (parts, x [B, H, W*C] in [0, 1], settings, shape, mode) -> (logits [B, K],
  # {layer: statistics of the batch}, empty without batch_statistics).
  apply: Callable[[layouts.Parts, jax.Array, Any, Shape, Mode],
                  tuple[jax.Array, dict[str, Any]]]
  # (parts, statistics of the batch) -> the running statistics, updated.
  update_running: Callable[[layouts.Parts, dict[str, Any]], layouts.Parts]

  # For tools that read snapshots: the same network in plain Flax, without
  # dropout; and logits float32 [N, K] of uint8 images.
  module: Callable[[Any, Row], nn.Module]
  predict: Callable[[Any, Row, np.ndarray, np.ndarray], jax.Array]

  forms: tuple[str, ...]  # words of the config's `convolution`
  # ('map' or 'vmap', a word of `forms`, precision) -> a NamedTuple with a
  # field `precision`; static.
  find_form: Callable[[str, str, str], Any]
  describe_form: Callable[[Any], str]  # in words, for --plan
  cost: Callable[[Shape], Cost]


def envelop(archs: Sequence[Any]) -> Shape:
  """The shape that a program of these architectures is compiled for."""
  unique = tuple(sorted(set(archs)))
  return unique[0] if len(unique) == 1 else Envelope(unique)

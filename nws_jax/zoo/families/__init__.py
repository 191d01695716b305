"""The kinds of networks that can be trained: one table, a line each."""

from collections.abc import Mapping
from typing import Any

from nws_jax import published
from nws_jax.layout import Layout
from nws_jax.zoo.families import cnn, interface, mlp

FAMILIES: dict[str, interface.Family] = {
    'cnn': cnn.FAMILY,
    'mlp': mlp.FAMILY,
}


def of_record(record: Mapping[str, Any]) -> interface.Family:
  """The family that a row, or another record of a zoo, names."""
  return FAMILIES[published.find_family(record)]


def architecture(row: interface.Row) -> Any:
  """The architecture of a population's row."""
  return of_record(row).architecture(row)


def layout(shape: interface.Shape) -> Layout:
  """The layout of an architecture, or of an envelope of several."""
  return of(shape).layout(shape)


def of(shape: interface.Shape) -> interface.Family:
  """The family of an architecture, or of an envelope of several."""
  return FAMILIES[shape.family]

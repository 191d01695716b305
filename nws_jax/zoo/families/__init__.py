"""The kinds of networks that can be trained: one table, a line each."""

from typing import Any

from nws_jax.layout import Layout
from nws_jax.zoo.families import cnn, interface, mlp

FAMILIES: dict[str, interface.Family] = {
    'cnn': cnn.FAMILY,
    'mlp': mlp.FAMILY,
}


def of_row(row: interface.Row) -> interface.Family:
  """The family of a population's row; older ones are of the first."""
  return FAMILIES[row.get('family', 'cnn')]


def architecture(row: interface.Row) -> Any:
  """The architecture of a population's row."""
  return of_row(row).architecture(row)


def layout(shape: interface.Shape) -> Layout:
  """The layout of an architecture, or of an envelope of several."""
  return of(shape).layout(shape)


def of(shape: interface.Shape) -> interface.Family:
  """The family of an architecture, or of an envelope of several."""
  return FAMILIES[shape.family]

"""What a page is made of: sections of blocks, and the files beside the page.

A block is a record; the macro of the same name in blocks.html.jinja shows it.
"""

import base64
import dataclasses
import functools
import re
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import pandas as pd
from matplotlib import figure as mpl_figure

from nws_jax.pictures import theme


@dataclasses.dataclass(frozen=True)
class Block:
  """A part of a section."""

  @property
  def kind(self) -> str:
    """The name of the macro that shows it."""
    return type(self).__name__.lower()

  def list_files(self) -> dict[str, bytes]:
    """{name: content} of the files that lie beside the page."""
    return {}


@dataclasses.dataclass(frozen=True)
class Text(Block):
  """A paragraph."""
  text: str


@dataclasses.dataclass(frozen=True)
class Notice(Block):
  """A paragraph that stands out."""
  text: str


@dataclasses.dataclass(frozen=True)
class Commands(Block):
  """Lines to type."""
  lines: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Missing(Block):
  """Says what is not there, and by which commands it is made."""
  text: str
  lines: Sequence[str]


class Cell(NamedTuple):
  text: str
  numeric: bool


class Row(NamedTuple):
  """`title` is its first value, None where that of the row above is equal."""
  title: str | None
  cells: list[Cell]


@dataclasses.dataclass(frozen=True)
class Table(Block):
  """A table, also saved as `name`.csv; `formats` write a column's values."""
  name: str
  caption: str
  frame: pd.DataFrame
  formats: Mapping[str, Callable[[Any], str]] = dataclasses.field(
      default_factory=dict)

  @property
  def head(self) -> list[Cell]:
    return [Cell(theme.words(c), _is_numeric(self.frame[c]))
            for c in self.frame]

  @property
  def rows(self) -> list[Row]:
    numeric = [cell.numeric for cell in self.head]
    rows: list[Row] = []
    last: Any = object()  # no first value equals it
    for values in self.frame.to_dict('records'):
      title, *texts = (self.formats.get(str(c), _show)(v)
                       for c, v in values.items())
      first = next(iter(values.values()))
      rows.append(Row(None if first == last else title,
                      list(map(Cell, texts, numeric[1:]))))
      last = first
    return rows

  def list_files(self) -> dict[str, bytes]:
    return {f'{self.name}.csv': _to_csv(self.frame)}


@dataclasses.dataclass(frozen=True)
class Picture(Block):
  """A picture, also saved as `name`.png, and its numbers as `name`.csv."""
  name: str
  caption: str
  alt: str
  figure: mpl_figure.Figure
  frame: pd.DataFrame | None = None

  @functools.cached_property
  def png(self) -> bytes:
    return theme.to_png(self.figure)

  @property
  def source(self) -> str:
    return 'data:image/png;base64,' + base64.b64encode(self.png).decode()

  @property
  def width(self) -> int:
    """In pixels of the page."""
    return round(100 * self.figure.get_figwidth())

  @property
  def height(self) -> int:
    return round(100 * self.figure.get_figheight())

  def list_files(self) -> dict[str, bytes]:
    numbers = {} if self.frame is None else {
        f'{self.name}.csv': _to_csv(self.frame)}
    return {f'{self.name}.png': self.png, **numbers}


class Option(NamedTuple):
  label: str
  picture: Picture


@dataclasses.dataclass(frozen=True)
class Choice(Block):
  """Pictures of one thing, of which the reader chooses the one to see.

  `name` is made by `slug`; `name`.csv holds what all of them show.
  """
  name: str
  question: str
  options: Sequence[Option]
  frame: pd.DataFrame

  def list_files(self) -> dict[str, bytes]:
    files = {f'{self.name}.csv': _to_csv(self.frame)}
    for option in self.options:
      files |= option.picture.list_files()
    return files


class Section(NamedTuple):
  """A section of the page; `name` is its anchor."""
  name: str
  title: str
  blocks: Sequence[Block]


def slug(*parts: object) -> str:
  """A file name that stays in its folder, from texts that files gave."""
  return '_'.join(re.sub(r'[^a-z0-9_]+', '-', str(p).lower()) for p in parts)


def _is_numeric(column: pd.Series) -> bool:
  return (pd.api.types.is_numeric_dtype(column)
          and not pd.api.types.is_bool_dtype(column))


def _show(value: Any) -> str:
  if isinstance(value, float):
    return theme.DASH if pd.isna(value) else f'{value:,.4g}'
  if isinstance(value, int) and not isinstance(value, bool):
    return f'{value:,}'
  return theme.label(value)


def _to_csv(frame: pd.DataFrame) -> bytes:
  return frame.to_csv(index=False).encode()

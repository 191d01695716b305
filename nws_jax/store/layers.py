"""layers.csv: the layouts of a zoo's architectures, one row for each tensor."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nws_jax import layout
from nws_jax.store import schema, tables

if TYPE_CHECKING:
  import pandas as pd

# Older versions wrote only these columns; all their networks are the published
# CNN.
_OLD = dict(list(schema.LAYERS.items())[:6])


def to_csv(layouts: Iterable[layout.Layout]) -> str:
  """The text of layers.csv, sorted by the names of the architectures."""
  return tables.to_csv(
      ({'architecture': of.name, 'layer': s.layer, 'tensor': s.tensor,
        'start': s.start, 'stop': s.stop, 'shape': _join(s.shape),
        'leaf': '/'.join(s.leaf), 'axes': _join(s.axes), 'part': s.part}
       for of in sorted(set(layouts), key=lambda of: of.name)
       for s in of.spans), schema.LAYERS)


def parse(text: str, path: str) -> 'pd.DataFrame':
  """Text of layers.csv -> table with the columns `schema.LAYERS`.

  Raises:
    Damaged: it is not a complete table of layers; the message names `path`.
  """
  if text.partition('\n')[0] != ','.join(_OLD):
    return tables.parse_csv(text, schema.LAYERS, path)
  table = tables.parse_csv(text, _OLD, path)
  added = [_complete(*row) for row in zip(
      table['layer'], table['tensor'], map(_split, table['shape']))]
  for n, name in enumerate(('leaf', 'axes', 'part')):
    table[name] = [cells[n] for cells in added]
  return table


def read(table: 'pd.DataFrame', path: str) -> dict[str, layout.Layout]:
  """The layouts in a table that `parse` has returned: {architecture: layout}.

  Raises:
    Damaged: tensors overlap or leave gaps, or the size of one does not fit its
      shape.
  """
  found: dict[str, list[layout.Span]] = {}
  for row in table.to_dict('records'):
    spans = found.setdefault(row['architecture'], [])
    try:
      span = layout.Span(
          row['layer'], row['tensor'], int(row['start']), int(row['stop']),
          _split(row['shape']), tuple(row['leaf'].split('/')),
          _split(row['axes']), row['part'])
    except ValueError as e:
      raise tables.damaged(path, e) from e
    if (span.start != (spans[-1].stop if spans else 0)
        or span.stop - span.start != math.prod(span.shape)
        or sorted(span.axes) != list(range(len(span.shape)))):
      raise tables.damaged(path, f'{span.layer} {span.tensor} of '
                           f'{row["architecture"]} has a shape or place that '
                           'no tensor has there')
    spans.append(span)
  return {name: layout.Layout(name, tuple(spans))
          for name, spans in found.items()}


def merge(texts: Iterable[str]) -> str:
  """Merges texts of layers.csv; each architecture occurs once in the result."""
  blocks: dict[str, list[str]] = {}
  for text in texts:
    own: dict[str, list[str]] = {}
    for row in text.splitlines(keepends=True)[1:]:
      own.setdefault(row.partition(',')[0], []).append(row)
    blocks = own | blocks
  return ','.join(schema.LAYERS) + '\n' + ''.join(
      ''.join(blocks[name]) for name in sorted(blocks))


def cut(text: str) -> str:
  """Cuts a text to the columns of older versions, which the digest covers."""
  return ''.join(','.join(row.split(',')[:len(_OLD)]) + '\n'
                 for row in text.splitlines())


def _complete(name: str, tensor: str, shape: tuple[int, ...]
              ) -> tuple[str, str, str]:
  """The columns that older versions lack: a tensor's leaf, axes and part."""
  return ('/'.join(layout.find_leaf(name, tensor)),
          _join(layout.order_axes(len(shape))),
          layout.CONVOLUTION if name.startswith('conv') else layout.DENSE)


def _join(numbers: tuple[int, ...]) -> str:
  return 'x'.join(map(str, numbers))


def _split(text: str) -> tuple[int, ...]:
  return tuple(map(int, str(text).split('x')))

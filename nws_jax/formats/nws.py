"""The published format: names, codes, and the run folder of one network.

  weights/001.bin ...  float64 [P], the flat vectors of at most 20 snapshots
  meta.csv             the thirteen properties
  error.bin            float64 [T, 5], one row for each evaluation: step;
                       training, validation and test error in %; smoothed
                       validation error in %
  stat.bin             float64 [4]: T, last step, epochs, seconds
  *_train.csv ...      beside the run folders, one row for each network

The format is that of the code that trained and reads the published networks
(docs/recipe.md, sections 2, 10, 11 and 15).
"""

import csv
import io
import math
import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nws_jax import errors, published, say, space

SNAPSHOTS = 20  # most of one network
FLOAT = '<f8'  # dtype of all binary files
SIDES = ('train', 'valid', 'test')  # splits, each with a table of its own
COLUMNS = {p.name: 'lrate' if p.name == 'learning_rate' else p.name
           for p in published.PROPERTIES}
SPLIT_COLUMNS = (*COLUMNS.values(), 'weightn_conv', 'weightn_fc', 'path')


def weights_name(number: int) -> str:
  """The file of a snapshot in the run folder; `number` counts from 1."""
  return os.path.join('weights', f'{number:03d}.bin')


def encode(row: Mapping[str, Any]) -> dict[str, str]:
  """{column: text} of the thirteen properties of a network."""
  cells = {}
  for p in published.PROPERTIES:
    value = row[p.name]
    if p.codes and value in p.choices:
      value = p.codes[p.choices.index(value)]
    cells[COLUMNS[p.name]] = str(value)  # floats, too, are read back exactly
  return cells


def decode(cells: Mapping[str, str]) -> dict[str, Any]:
  """Inverse of `encode`.

  Raises:
    ValueError: a value is not allowed for its property; the message names both.
  """
  row = {}
  for p in published.PROPERTIES:
    column, text = COLUMNS[p.name], cells[COLUMNS[p.name]].strip()
    try:
      row[p.name] = _decode(p, text)
    except (ValueError, OverflowError) as e:
      raise ValueError(f'{column} is {text!r}') from e
  return row


def _decode(p: space.Property, text: str) -> Any:
  if p.name == 'dataset':
    text = dict(zip(p.codes, p.choices)).get(text, text)
    return space.SETS[space.SETS.index(text)]
  if text in p.others:
    return text
  if p.codes:
    return p.choices[p.codes.index(int(text))]
  if p.continuous:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
      raise ValueError
    return value
  if isinstance(p.choices[0], bool):
    return ('False', 'True', '0', '1').index(text) % 2 == 1
  value = int(text)
  if not 0 < value < 2 ** 31:
    raise ValueError
  return value


def unpublished(row: Mapping[str, Any]) -> list[str]:
  """Names of the properties whose value is not among the published choices."""
  return [p.name for p in published.PROPERTIES
          if not (p.continuous or row[p.name] in p.choices)]


def unwritten(row: Mapping[str, Any]) -> list[str]:
  """Names of the properties that the format lacks, and whose value in `row`
  differs from that of all published networks."""
  return [p.name for p in published.EXTRA if row[p.name] not in p.choices]


def list_errors(figures: Sequence[Mapping[str, Any]]) -> np.ndarray:
  """Computes error.bin of a network, float64 [T, 5].

  Args:
    figures: its rows of metrics.csv, in the order of epochs.
  """
  error_Tx5 = np.empty((len(figures), 5), FLOAT)
  smooth = None
  for row, f in zip(error_Tx5, figures):
    valid = f['valid_accuracy']
    smooth = valid if smooth is None else (smooth + valid) / 2
    row[:] = f['step'], f['train_accuracy'], valid, f['test_accuracy'], smooth
  error_Tx5[:, 1:] = 100 * (1 - error_Tx5[:, 1:])
  return error_Tx5


def write_run(path: str, row: Mapping[str, Any],
              figures: Sequence[Mapping[str, Any]],
              weights_ExP: Iterable[np.ndarray]) -> None:
  """Writes one run folder atomically.

  Args:
    path: the folder, which must not exist.
    row: the network's row of members.csv.
    figures: its rows of metrics.csv, in the order of epochs.
    weights_ExP: the vectors of its snapshots, in the order of epochs.

  Raises:
    Damaged: the folder cannot be written.
  """
  cells = encode(row)
  files = {'meta.csv': _csv([cells], cells).encode(),
           'error.bin': list_errors(figures).tobytes(),
           'stat.bin': np.array([len(figures), row['last_step'],
                                 len(figures) - 1, row['seconds']],
                                FLOAT).tobytes()}
  aside = f'{path}.part'
  try:
    shutil.rmtree(aside, ignore_errors=True)
    os.makedirs(os.path.join(aside, 'weights'))
    for number, vector_P in enumerate(weights_ExP, 1):
      _write(os.path.join(aside, weights_name(number)),
             np.asarray(vector_P, FLOAT).tobytes())
    for name, data in files.items():
      _write(os.path.join(aside, name), data)
    os.rename(aside, path)
  except OSError as e:
    raise errors.Damaged(
        f'{path} could not be written: {e.strerror}. {say.advise(e)} and run '
        'the same command again: it goes on.') from e


def split_csv(rows: Iterable[tuple[Mapping[str, Any], str]]) -> str:
  """The text of a split's table.

  Args:
    rows: (row of members.csv, path of the run folder) of each network.
  """
  return _csv([
      {**encode(row), 'weightn_conv': str(row['num_weights_conv']),
       'weightn_fc': str(row['num_weights'] - row['num_weights_conv']),
       'path': path} for row, path in rows], SPLIT_COLUMNS)


def _csv(rows: Iterable[Mapping[str, str]], columns: Collection[str]) -> str:
  text = io.StringIO()
  writer = csv.DictWriter(text, columns, lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  return text.getvalue()


def _write(path: str, data: bytes) -> None:
  with open(path, 'wb') as f:
    f.write(data)

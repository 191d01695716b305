"""Whether a classifier was trained on a network: told by the weights alone.

A zoo may have grown, been copied or been converted, and a network may come as
a file: the digest of its vector stays what it is.

model/members.csv   a row a network that was read: its id, its fold, the fold
                    whose models did not see it (empty if all did), and digests
                    of all its kept snapshots
"""

import csv
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from nws_jax.store import snapshots, tables

# How a network may stand to a classifier.
STRANGER = 'stranger'  # no model was trained on it
HELD_OUT = 'held out'  # some models were trained on it, others were not
IN_SAMPLE = 'in-sample'  # all models were trained on it, or stopped by it
UNKNOWN = 'unknown'  # an older version did not record it

_COLUMNS = ('id', 'fold', 'held_out_by', 'digests')
_HALVES = (ml_dtypes.bfloat16, np.float16)


class Member(NamedTuple):
  """A network that was read."""
  fold: int
  held_out_by: Any  # the fold whose models did not see it, or None


class Standing(NamedTuple):
  """How a network stands to a classifier, and who may be asked about it."""
  kind: str  # one of those above
  fold: Any = None  # of the reference fitted without it; None: any
  held_out_by: Any = None  # the fold whose models did not see it; None: any


class Origin(NamedTuple):
  """A network of a zoo."""
  zoo: str  # the zoo's digest
  id: int
  digests: tuple  # of all its kept snapshots


class Members(NamedTuple):
  """The networks that a classifier's zoo gave."""
  ids: dict  # {id in that zoo: Member}
  digests: Any  # {digest: {ids}}; None in classifiers of older versions
  zoo: str  # digest of that zoo, as it was

  def place(self, vector_P: np.ndarray,
            origin: Origin | None = None) -> Standing:
    """The `Standing` of a network.

    Args:
      vector_P: float32.
      origin: where it lies, if it was named as a network of a zoo. A snapshot
        that was not kept yet when the zoo was read is known by the others; and
        of starts that are equal, whose it is.
    """
    if self.digests is None:
      if origin is None or origin.zoo != self.zoo:
        return Standing(UNKNOWN)
      return _join([self.ids[origin.id]] if origin.id in self.ids else [])
    digests = (*list_digests(vector_P), *(origin.digests if origin else ()))
    found = [self.digests[d] for d in digests if d in self.digests]
    ids = found and (set.intersection(*found) or set.union(*found))
    return _join([self.ids[id] for id in ids])


def _join(members: list[Member]) -> Standing:
  """The `Standing` of what may be any of some networks: constant starts are
  equal."""
  if not members:
    return Standing(STRANGER)
  folds, models = map(set, zip(*members))
  fold = folds.pop() if len(folds) == 1 else None
  if len(models) == 1 and models != {None}:
    return Standing(HELD_OUT, fold, models.pop())
  return Standing(IN_SAMPLE, fold)


def list_digests(vector_P: np.ndarray) -> list[str]:
  """Digests by which a vector is known: its own, and those of its roundings to
  each half precision, which a copy in such a file has."""
  vector_P = np.asarray(vector_P, np.float32)
  with np.errstate(over='ignore'):  # the rounded one is infinite there
    return [snapshots.digest(vector_P)] + [
        snapshots.digest(vector_P.astype(half).astype(np.float32))
        for half in _HALVES]


def write(path: str, request: Any, source: Any, tested: Any) -> None:
  """Writes members.csv.

  Args:
    path: of the file.
    request: `request.Request`.
    source: its `windows.Source`. The vectors in it are known when rounded, too;
      of the other snapshots only the zoo's own digests are known.
    tested: the `cross_validation.Decisions` on networks held out.
  """
  folds = dict(zip(request.networks['id'].tolist(),
                   request.networks['fold'].tolist()))
  held = dict(zip(request.members['id'].to_numpy()[tested.rows_T].tolist(),
                  tested.folds_T.tolist()))
  digests = {id: list(request.zoo.digests(id).values()) for id in folds}
  for row, id, length in zip(source.weights_MxExP, request.rows['id'].tolist(),
                             request.rows['num_weights']):
    for vector_P in np.asarray(row)[:, :length]:
      digests[id] += list_digests(vector_P)
  lines = [','.join(_COLUMNS)] + [
      f'{id},{fold},{held.get(id, "")},{" ".join(dict.fromkeys(digests[id]))}'
      for id, fold in folds.items()]
  tables.write_text(path, '\n'.join(lines) + '\n')


def read(path: str, record: dict) -> Members:
  """The `Members` of a saved classifier.

  Args:
    path: of its members.csv.
    record: its recipe.json, which tells them in older versions.

  Raises:
    KeyError, OSError, TypeError, ValueError: it is not what was written.
  """
  zoo = record['zoo']['digest']
  if 'sides' in record:
    return Members({int(id): Member(*sides) for id, sides
                    in record['sides'].items()}, None, zoo)
  ids, digests = {}, {}
  with open(path, encoding='utf-8', newline='') as f:
    rows = csv.DictReader(f)
    if tuple(rows.fieldnames or ()) != _COLUMNS:
      raise ValueError(f'members.csv has the columns {rows.fieldnames}')
    for row in rows:
      id, held = int(row['id']), row['held_out_by']
      ids[id] = Member(int(row['fold']), int(held) if held else None)
      for digest in row['digests'].split():
        digests.setdefault(digest, set()).add(id)
  return Members(ids, digests, zoo)

"""Whether a classifier was trained on a network, from its weights alone.

A zoo may have grown, been copied or been converted, and a network may come as
a file: the digest of its vector does not change.

model/members.csv   a row a network of the zoo: its id, its fold, the fold whose
                    models were not trained on it (empty if all were), and the
                    digests of all its kept snapshots
"""

import csv
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from nws_jax.meta import request as requests
from nws_jax.meta.data import windows
from nws_jax.meta.training import cross_validation
from nws_jax.store import snapshots, tables

# The relation of a network to a classifier.
UNSEEN = 'unseen'  # no model was trained on it
HELD_OUT = 'held out'  # some models were trained on it, others were not
IN_SAMPLE = 'in-sample'  # all models were trained on it, or stopped by it
UNKNOWN = 'unknown'  # an older version did not record it

_COLUMNS = ('id', 'fold', 'held_out_by', 'digests')
_HALVES = (ml_dtypes.bfloat16, np.float16)


class Member(NamedTuple):
  """A network that the classifier's models were trained or tested on."""
  fold: int
  held_out_by: int | None  # the fold whose models were not trained on it


class Standing(NamedTuple):
  """The relation of a network to a classifier, and which models predict it."""
  kind: str  # one of those above
  fold: int | None = None  # of the reference fitted without it; None: all
  held_out_by: int | None = None  # whose models predict it; None: all


class Origin(NamedTuple):
  """A network of a zoo."""
  zoo: str  # the zoo's digest
  id: int
  digests: tuple[str, ...]  # of all its kept snapshots


class Members(NamedTuple):
  """The networks of the zoo that a classifier was trained on."""
  ids: dict[int, Member]
  # {digest of a snapshot: ids}; None in classifiers of older versions.
  digests: dict[str, set[int]] | None
  zoo: str  # digest of that zoo, as it was

  def find(self, vector_P: np.ndarray,
           origin: Origin | None = None) -> Standing:
    """The `Standing` of a network.

    Args:
      vector_P: float32.
      origin: of a network that is named as one of a zoo. It identifies a
        snapshot that was not yet kept when the zoo was read, by the others; and
        the network of an initial vector that several share.
    """
    if self.digests is None:
      if origin is None or origin.zoo != self.zoo:
        return Standing(UNKNOWN)
      return _join([self.ids[origin.id]] if origin.id in self.ids else [])
    digests = (*list_digests(vector_P), *(origin.digests if origin else ()))
    found = [self.digests[d] for d in digests if d in self.digests]
    if not found:
      return Standing(UNSEEN)
    # Networks of all digests, if there are any: a digest may be of several.
    ids = set.intersection(*found) or set.union(*found)
    return _join([self.ids[id] for id in ids])


def _join(members: list[Member]) -> Standing:
  """The `Standing` of a network that may be any of these: with constant
  initialisation they have equal initial vectors."""
  if not members:
    return Standing(UNSEEN)
  folds = {m.fold for m in members}
  models = {m.held_out_by for m in members}
  fold = folds.pop() if len(folds) == 1 else None
  if len(models) == 1 and models != {None}:
    return Standing(HELD_OUT, fold, models.pop())
  return Standing(IN_SAMPLE, fold)


def list_digests(vector_P: np.ndarray) -> list[str]:
  """The digest of a vector, and those of it rounded to each half precision, as
  a file may hold it."""
  vector_P = np.asarray(vector_P, np.float32)
  with np.errstate(over='ignore'):  # what overflows is infinite
    return [snapshots.digest(vector_P)] + [
        snapshots.digest(vector_P.astype(half).astype(np.float32))
        for half in _HALVES]


def write(path: str, request: requests.Request, source: windows.Source,
          tested: cross_validation.Decisions) -> None:
  """Writes members.csv.

  Args:
    path: of the file.
    request: whose networks are written.
    source: its weights: these vectors are recognised when rounded, too, other
      snapshots only by the zoo's own digests.
    tested: the decisions on held-out networks.
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
  tables.write_text(path, tables.format_rows([
      dict(zip(_COLUMNS, (id, fold, held.get(id, ''),
                          ' '.join(dict.fromkeys(digests[id])))))
      for id, fold in folds.items()], _COLUMNS))


def read(path: str, record: dict[str, Any]) -> Members:
  """The `Members` of a saved classifier.

  Args:
    path: of its members.csv.
    record: its recipe.json, which holds them in older versions.

  Raises:
    KeyError, OSError, TypeError, ValueError: it is not what `write` wrote.
  """
  zoo = record['zoo']['digest']
  if 'sides' in record:
    return Members({int(id): Member(*sides) for id, sides
                    in record['sides'].items()}, None, zoo)
  ids: dict[int, Member] = {}
  digests: dict[str, set[int]] = {}
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

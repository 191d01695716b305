"""One snapshot of a unit: its networks' vectors <-> stacked pytrees on disk.

Row m is the m-th network of the snapshot, by ascending id. Networks of one
architecture are one tree of Flax variables; of several, each architecture's
networks are such a tree under its name.

`folder.CHECKSUMS` lies beside them, little-endian uint64, network by network:
the digest of the vector, which the unit's record has too, and a checksum of
each tensor in the published order. So a window is known to be of its network
and epoch, and to be as it was written.
"""

import os
from typing import NamedTuple

import numpy as np

from nws_jax.store import folder, snapshots, tables, vectors


class Stack(NamedTuple):
  """A snapshot, and what its unit's record tells of it."""
  path: str
  ids_M: list  # ascending
  archs_M: list
  digests_M: list
  checked: bool = False  # False: written by an older version, as it may be


def save(writer, path, vectors_M, archs_M):
  """Starts to save a snapshot with its checksums; see `snapshots.Writer`.

  Args:
    writer: `snapshots.Writer`.
    path: the snapshot's folder.
    vectors_M: a vector [P] of each network, of its own length.
    archs_M: the architecture of each.

  Returns:
    The digest of each.
  """
  trees, digests = {}, snapshots.digests(vectors_M)
  checksums = [[np.uint64(int(d, 16))] for d in digests]
  for arch, rows in _group(archs_M).items():
    tree = vectors.to_variables(np.stack([vectors_M[m] for m in rows]), arch)
    trees[arch.name] = tree
    for span in vectors.spans(arch):
      collection, module, name = vectors.leaf_name(span)
      for m, value in zip(rows, snapshots.checksum(
          tree[collection][module][name])):
        checksums[m].append(value)
  writer.save(path, trees if len(trees) > 1 else tree,
              np.concatenate(checksums))
  return digests


def read(stack, rows, start=0, stop=None):
  """Values start to stop - 1 of some networks of a snapshot.

  Args:
    stack: the `Stack`.
    rows: which networks are read, in any order.
    start: first value.
    stop: one behind the last; None is the end of each vector.

  Returns:
    [vector of each network].

  Raises:
    Damaged: it is not there, not readable, or not what was written.
  """
  found, groups, asked = {}, _group(stack.archs_M), set(rows)
  compare = _compare(stack, groups, sorted(asked))
  for arch, mine in groups.items():
    wanted = [m for m in mine if m in asked]
    if wanted:
      place = {m: r for r, m in enumerate(mine)}
      values = snapshots.read_vectors(
          stack.path, arch, [place[m] for m in wanted], start, stop,
          within=arch.name if len(groups) > 1 else '',
          look=compare(wanted))
      found.update(zip(wanted, values))
      if values.shape[1] == vectors.num_weights(arch):
        for m, vector_P in zip(wanted, values):
          if stack.digests_M[m:m + 1] != [snapshots.digest(vector_P)]:
            raise _other(stack, m, 'wrong digest')
  return [found[m] for m in rows]


def _compare(stack, groups, rows):
  """(some of `rows`) -> what compares their tensors' checksums, one by one.

  Raises:
    Damaged: the checksums are not of the networks that the record names.
  """
  path = os.path.join(stack.path, folder.CHECKSUMS)
  if not (os.path.exists(path)
          or stack.checked and os.path.isdir(stack.path)):
    return lambda rows: lambda tensor, leaf: None
  counts_M = np.empty(len(stack.archs_M), int)
  for arch, mine in groups.items():
    counts_M[mine] = 1 + len(vectors.spans(arch))
  begins_M = np.cumsum(counts_M) - counts_M
  try:
    written = np.fromfile(path, '<u8')
    if len(written) != counts_M.sum():
      raise ValueError('it is of other networks')
  except (OSError, ValueError) as e:
    raise tables.damaged(stack.path, f'{folder.CHECKSUMS}: {e}') from e
  for m, digest in zip(rows, written[begins_M[rows]].tolist()):
    if stack.digests_M[m:m + 1] != [f'{digest:016x}']:
      raise _other(stack, m, 'another digest in its checksums')

  def compare(rows):
    at = begins_M[rows] + 1
    def look(tensor, leaf):
      right = snapshots.checksum(leaf) == written[at + tensor]
      if not right.all():
        m = rows[right.argmin()]
        span = vectors.spans(stack.archs_M[m])[tensor]
        raise _other(stack, m, f'wrong checksum of {span.layer} {span.tensor}')
    return look
  return compare


def _other(stack, row, reason):
  return tables.damaged(
      stack.path, f'the weights of network {stack.ids_M[row]} are not those '
      f'that were written ({reason})')


def _group(archs_M):
  """{architecture: its rows}, in the order of first occurrence."""
  groups = {}
  for m, arch in enumerate(archs_M):
    groups.setdefault(arch, []).append(m)
  return groups

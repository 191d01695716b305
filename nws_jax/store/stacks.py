"""One snapshot of a unit: its networks' vectors <-> stacked pytrees on disk.

Row m is the m-th network of the snapshot, by ascending id. Networks of one
architecture are one tree of Flax variables; of several, each architecture's
networks are such a tree under its name.
"""

import numpy as np

from nws_jax.store import snapshots, tables, vectors


def to_tree(vectors_M, archs_M):
  """The pytree that `snapshots.Writer` saves.

  Args:
    vectors_M: a vector [P] of each network, of its own length.
    archs_M: the architecture of each.
  """
  trees = {
      arch.name: vectors.to_variables(
          np.stack([vectors_M[m] for m in rows]), arch)
      for arch, rows in _group(archs_M).items()}
  return trees if len(trees) > 1 else next(iter(trees.values()))


def read(path, archs_M, rows, start=0, stop=None):
  """Values start to stop - 1 of some networks of a snapshot.

  Args:
    path: the snapshot's folder.
    archs_M: the architecture of every network that is in it.
    rows: which networks are read, in any order.
    start: first value.
    stop: one behind the last; None is the end of each vector.

  Returns:
    [vector of each network].

  Raises:
    Damaged: it is not there, or not readable.
  """
  found, groups, asked = {}, _group(archs_M), set(rows)
  for arch, mine in groups.items():
    wanted = [m for m in mine if m in asked]
    if wanted:
      place = {m: r for r, m in enumerate(mine)}
      found.update(zip(wanted, snapshots.read_vectors(
          path, arch, [place[m] for m in wanted], start, stop,
          within=arch.name if len(groups) > 1 else '')))
  return [found[m] for m in rows]


def check(path, id, vector_P, digests_M, row):
  """Raises `Damaged` unless a network's whole vector has its digest.

  Args:
    path: of the snapshot that it was read from.
    id: of the network.
    vector_P: as it was read.
    digests_M: of the snapshot's networks, as its unit's record has them.
    row: the network's.
  """
  if digests_M[row:row + 1] != [snapshots.digest(vector_P)]:
    raise tables.damaged(path, f'the weights of network {id} are not those '
                         'that were written (wrong digest)')


def _group(archs_M):
  """{architecture: its rows}, in the order of first occurrence."""
  groups = {}
  for m, arch in enumerate(archs_M):
    groups.setdefault(arch, []).append(m)
  return groups

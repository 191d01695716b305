"""One snapshot of a unit: its networks' vectors <-> stacked pytrees on disk.

Row m is the m-th network of the snapshot, by ascending id. If all networks have
one architecture, the snapshot is a tree of their Flax variables. Otherwise it
holds one such tree for each architecture, under the architecture's name.

`folder.CHECKSUMS` in the same folder holds little-endian uint64 values, network
by network: the digest of the vector, which the unit's record has too, and a
checksum of each tensor, in the order of the vector. They prove that a window
belongs to its network and epoch, and is what was written.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nws_jax import errors
from nws_jax.layout import Layout
from nws_jax.store import folder, snapshots, tables


class Stack(NamedTuple):
  """A snapshot, and what its unit's record says about it."""
  path: str
  ids_M: list[int]  # ascending
  layouts_M: list[Layout]
  digests_M: list[str]
  checked: bool = False  # whether it must have checksums; those that older
  #   versions wrote need not have any


def save(writer: snapshots.Writer, path: str, vectors_M: Sequence[np.ndarray],
         layouts_M: Sequence[Layout]) -> list[str]:
  """Starts to save a snapshot with its checksums; see `snapshots.Writer`.

  Args:
    writer: what saves it in the background.
    path: the snapshot's folder.
    vectors_M: float32 vector [P] of each network; lengths may differ.
    layouts_M: the layout of each network.

  Returns:
    The digest of each network.
  """
  trees: dict[str, Any] = {}
  digests = snapshots.digests(vectors_M)
  checksums = [[np.uint64(int(d, 16))] for d in digests]
  for layout, rows in _group(layouts_M).items():
    tree = layout.to_variables(np.stack([vectors_M[m] for m in rows]))
    trees[layout.name] = tree
    for span in layout.spans:
      for m, value in zip(rows, snapshots.checksum(span.find(tree))):
        checksums[m].append(value)
  writer.save(path, trees if len(trees) > 1 else tree,
              np.concatenate(checksums))
  return digests


def read(stack: Stack, rows: Sequence[int],
         window: snapshots.Window = snapshots.Window()) -> list[np.ndarray]:
  """Reads a window of the vectors of some networks of a snapshot.

  Args:
    stack: the snapshot.
    rows: the networks to read, in any order.
    window: the values to read.

  Returns:
    [vector of each network].

  Raises:
    Damaged: the snapshot is missing, not readable, or not what was written.
  """
  found: dict[int, np.ndarray] = {}
  groups, asked = _group(stack.layouts_M), set(rows)
  compare = _compare(stack, groups, sorted(asked))
  for layout, mine in groups.items():
    wanted = [m for m in mine if m in asked]
    if wanted:
      place = {m: r for r, m in enumerate(mine)}
      values = snapshots.read_vectors(
          stack.path, layout, [place[m] for m in wanted], window,
          within=layout.name if len(groups) > 1 else '',
          check=compare(wanted))
      found.update(zip(wanted, values))
      if values.shape[1] == layout.num_weights:
        for m, vector_P in zip(wanted, values):
          if stack.digests_M[m:m + 1] != [snapshots.digest(vector_P)]:
            raise _other(stack, m, 'wrong digest')
  return [found[m] for m in rows]


def _compare(stack: Stack, groups: dict[Layout, list[int]], rows: list[int]
             ) -> Callable[[list[int]], Callable[[int, np.ndarray], None]]:
  """Reads the checksums of a snapshot, and makes the functions that compare.

  Args:
    stack: the snapshot.
    groups: {layout: its rows}.
    rows: the networks whose digests are compared now.

  Returns:
    A function (some of `rows`) -> function (index of a tensor, its leaf for
    these rows), which raises `Damaged` if a checksum differs.

  Raises:
    Damaged: the checksums are not those of the networks that the record names.
  """
  path = os.path.join(stack.path, folder.CHECKSUMS)
  if not (os.path.exists(path)
          or stack.checked and os.path.isdir(stack.path)):
    return lambda rows: lambda tensor, leaf: None
  counts_M = np.empty(len(stack.layouts_M), int)
  for layout, mine in groups.items():
    counts_M[mine] = 1 + len(layout.spans)
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

  def compare(rows: list[int]) -> Callable[[int, np.ndarray], None]:
    at = begins_M[rows] + 1
    def check(tensor: int, leaf: np.ndarray) -> None:
      right = snapshots.checksum(leaf) == written[at + tensor]
      if not right.all():
        m = rows[right.argmin()]
        span = stack.layouts_M[m].spans[tensor]
        raise _other(stack, m, f'wrong checksum of {span.layer} {span.tensor}')
    return check
  return compare


def _other(stack: Stack, row: int, reason: str) -> errors.Damaged:
  """The error for a network whose weights are not what was written."""
  return tables.damaged(
      stack.path, f'the weights of network {stack.ids_M[row]} are not those '
      f'that were written ({reason})')


def _group(layouts_M: Sequence[Layout]) -> dict[Layout, list[int]]:
  """{layout: its rows}, in the order of first occurrence."""
  groups: dict[Layout, list[int]] = {}
  for m, layout in enumerate(layouts_M):
    groups.setdefault(layout, []).append(m)
  return groups

"""Snapshots on disk: pytrees stacked and chunked by network.

One Orbax checkpoint holds one pytree whose leaves all have a leading axis of
networks, [M, ...], in chunks of one network: written at once, read back by
rows through TensorStore, which Orbax itself cannot do.
"""

import contextlib
import functools
import hashlib
import math
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorstore as ts

from nws_jax import errors, layout, say
from nws_jax.store import disks, folder, forks, tables

# Weights compress by 8 % at most, and compressing takes a third of the speed.
_FORMAT = {'use_ocdbt': True, 'use_zarr3': True, 'use_compression': False}
_CACHE = {'cache_pool': {'total_bytes_limit': 32_000_000}}


class Writer:
  """Saves stacked pytrees in the background.

  What `save` was given is durable, and at its place, once `wait` returns; a
  process that dies earlier leaves nothing at `path`, and the same path can be
  saved again.
  """

  def __init__(self):
    self._pending = []

  def save(self, path, tree, checksums=None):
    """Starts to save `tree`, leaves [M, ...], in the folder `path`.

    The leaves are copied: the caller may change its arrays afterwards. What
    lies at `path` is replaced. An array of checksums is laid beside them.

    Raises:
      Damaged: there is no room on the disk, or it cannot be written.
    """
    import jax
    forks.use('TensorStore')
    ocp = _import_orbax()
    path = os.path.abspath(path)
    tree = jax.tree.map(np.asarray, tree)
    save_args = jax.tree.map(
        lambda x: ocp.SaveArgs(
            shard_axes=(0,), chunk_byte_size=max(1, x.nbytes // x.shape[0])),
        tree)
    try:
      os.makedirs(os.path.dirname(path), exist_ok=True)
      disks.adapt(os.path.dirname(path))
      _check_room(path, sum(x.nbytes for x in jax.tree.leaves(tree)))
      checkpointer = ocp.AsyncCheckpointer(
          ocp.PyTreeCheckpointHandler(**_FORMAT), timeout_secs=24 * 3600)
      self._pending.append((path, checkpointer, checksums))
      checkpointer.save(
          path, args=ocp.args.PyTreeSave(tree, save_args=save_args), force=True)
    except (OSError, ValueError) as e:
      self._give_up()
      raise _unsaved(path, e) from e

  def wait(self):
    """Returns when everything saved so far is durable.

    Raises:
      Damaged: something could not be written.
    """
    while self._pending:
      path, checkpointer, checksums = self._pending.pop(0)
      try:
        checkpointer.wait_until_finished()
        if checksums is not None:
          tables.write_bytes(os.path.join(path, folder.CHECKSUMS),
                             checksums.astype('<u8').tobytes())
      except Exception as e:  # raised in Orbax's thread, of any kind
        self._give_up()
        raise _unsaved(path, e) from e
      checkpointer.close()

  def _give_up(self):
    """Ends the other saves: at exit, Orbax prints tracebacks of open ones."""
    while self._pending:
      with contextlib.suppress(Exception):
        self._pending.pop()[1].close()  # waits for it


def restore(path, like):
  """Reads a whole pytree back, as NumPy arrays of the structure of `like`.

  Raises:
    Damaged: it is not there, not readable, or has other shapes.
  """
  import jax
  leaves, structure = jax.tree_util.tree_flatten_with_path(like)
  names = [jax.tree_util.keystr(p, simple=True, separator='.')
           for p, _ in leaves]
  # Orbax would do, but where something is damaged it leaves reads behind that
  # complain to nobody later.
  try:
    tree = [store.read().result() for store in _open(path, names)]
  except (ValueError, OSError) as e:
    raise tables.damaged(path, e) from e
  for new, (_, old) in zip(tree, leaves):
    if new.shape != old.shape or new.dtype != old.dtype:
      raise tables.damaged(path, f'{new.dtype}{new.shape} was found where '
                              f'{old.dtype}{old.shape} belongs')
  return jax.tree.unflatten(structure, tree)


class Window(NamedTuple):
  """Values `start` to `stop` (exclusive) of vectors; None is their end."""
  start: int = 0
  stop: int | None = None


def read_vectors(
    path: str, of: layout.Layout, rows: Sequence[int],
    window: Window = Window(), within: str = '',
    check: Callable[[int, np.ndarray], None] | None = None) -> np.ndarray:
  """Reads a window of some networks' vectors.

  Only the leaves that overlap the window are read, and of them only the rows
  asked for.

  Args:
    path: folder of a snapshot of Flax variables of one architecture.
    of: the architecture's layout.
    rows: which networks, in any order.
    window: which values, in the order of the vector.
    within: name of the tree in the snapshot, if it holds several.
    check: called with the number of each tensor that is read, and its leaf.

  Returns:
    float32 [len(rows), stop - start].

  Raises:
    Damaged: the snapshot is not there, or not readable.
  """
  start = window.start
  stop = of.num_weights if window.stop is None else window.stop
  row_R = np.asarray(rows, np.int64)
  spans = {t: s for t, s in enumerate(of.spans)
           if s.start < stop and s.stop > start}
  window_RxL = np.empty((len(row_R), stop - start), np.float32)
  try:
    stores = _open(path, ['.'.join((within,) * bool(within) + s.leaf)
                          for s in spans.values()])
    reads = [store[row_R].read() for store in stores]
    for (t, s), read in zip(spans.items(), reads):
      leaf = read.result()
      if leaf.shape[1:] != s.shape or leaf.dtype != np.float32:
        raise ValueError(f'{s.layer} {s.tensor} is {leaf.dtype}'
                         f'{leaf.shape[1:]}, not float32{s.shape}')
      if check is not None:
        check(t, leaf)
      a, b = max(s.start, start), min(s.stop, stop)
      window_RxL[:, a - start:b - start] = s.flatten(
          leaf)[:, a - s.start:b - s.start]
  except (ValueError, OSError, IndexError) as e:
    raise tables.damaged(path, e) from e
  return window_RxL


def digest(vector_P):
  """Short digest of one network's values, as hexadecimal digits."""
  data = np.ascontiguousarray(vector_P, '<f4')
  return hashlib.blake2b(data, digest_size=8).hexdigest()


def digests(vectors_MxP):
  """The digest of every network."""
  return [digest(v) for v in vectors_MxP]


def checksum(leaf):
  """A number for each network's tensor: leaf [M, ...] -> uint64 [M].

  The sum of its words (of 64 bits, or of 32 if they are odd in number), each
  times an odd number of its own, modulo 2**64: changing one word always
  changes it. It costs a fortieth of `digest`, and holds against accidents, not
  against intent.
  """
  words = np.ascontiguousarray(leaf, '<f4').reshape(
      len(leaf), math.prod(leaf.shape[1:])).view('<u4')
  if words.shape[1] % 2 == 0:
    words = words.view('<u8')
  return np.einsum('mn,n->m', words, _odd_numbers(words.shape[1]))


@functools.lru_cache(maxsize=64)
def _odd_numbers(count):
  """Spread over all of uint64, by the golden ratio."""
  return np.arange(count, dtype=np.uint64) * np.uint64(
      0x9E3779B97F4A7C15) | np.uint64(1)


def digest_leaves(tree: Any) -> dict[str, str]:
  """{name of a leaf: digest of its bytes} of a pytree of arrays."""
  import jax
  return {jax.tree_util.keystr(p, simple=True, separator='.'):
          hashlib.blake2b(np.ascontiguousarray(x), digest_size=8).hexdigest()
          for p, x in jax.tree_util.tree_leaves_with_path(tree)}


def _open(path, names):
  """The stored arrays of a snapshot's leaves."""
  if not os.path.isdir(path):  # TensorStore would take it for an empty one
    raise FileNotFoundError('it is not there')
  forks.use('TensorStore')
  context = ts.Context(_CACHE)  # shared: the index is read once
  base = {'driver': 'file', 'path': os.path.abspath(path) + '/'}
  return [f.result() for f in [ts.open(
      {'driver': 'zarr3', 'kvstore': {
          'driver': 'ocdbt', 'base': base, 'path': name + '/'}},
      open=True, read=True, context=context) for name in names]]


@functools.cache
def _import_orbax():
  """Orbax takes a second to import, and only writers need it."""
  import logging

  import orbax.checkpoint as ocp
  # It warns of every chunk below a megabyte, and prints tracebacks of what it
  # raises anyway.
  logging.getLogger('absl').addFilter(_is_ours)
  sys.unraisablehook = _leave_out(sys.unraisablehook)
  return ocp


def _is_ours(record):
  return '/orbax/' not in record.pathname.replace(os.sep, '/')


def _leave_out(report):
  """`report` without what TensorStore says, of the other writes of a save that
  failed, when Orbax waits for them no more."""
  def hook(unraisable):
    if str(unraisable.exc_value) != 'Event loop is closed':
      report(unraisable)
  return hook


def _check_room(path, num_bytes):
  """Weights barely compress: what does not fit now will not fit later."""
  free = shutil.disk_usage(os.path.dirname(path)).free
  if free < num_bytes:
    raise OSError(f'No space left on device: {say.size(num_bytes)} are '
                  f'needed, {say.size(free)} are free')


def _unsaved(path, error):
  full = say.FULL.search(str(error))
  return errors.Damaged(
      f'{path} could not be saved: {full[0] if full else say.first(error)}. '
      f'{say.advise(error)} and run the same command again: it goes on from '
      'what was saved before.')

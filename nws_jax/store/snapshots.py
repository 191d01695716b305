"""Snapshots on disk: stacked pytrees, chunked by network.

One Orbax checkpoint holds one pytree. All of its leaves have a leading axis of
networks, [M, ...], and are stored in chunks of one network. Orbax writes the
pytree as a whole. TensorStore reads back the rows of some networks, which Orbax
cannot do.
"""

import contextlib
import functools
import hashlib
import logging
import math
import os
import shutil
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorstore as ts

from nws_jax import errors, layout, say
from nws_jax.store import disks, folder, forks, tables

# Weights compress by 8 % at most, and compression costs a third of the speed.
_FORMAT = {'use_ocdbt': True, 'use_zarr3': True, 'use_compression': False}
_CACHE = {'cache_pool': {'total_bytes_limit': 32_000_000}}


class _Save(NamedTuple):
  """A save that runs in the background."""
  path: str
  checkpointer: Any  # ocp.AsyncCheckpointer
  checksums: np.ndarray | None  # see `Writer.save`


class Writer:
  """Saves stacked pytrees in the background.

  Once `wait` returns, what `save` was given is durable and complete. If the
  process dies before, nothing is at `path`, and the same path can be saved
  again.
  """

  def __init__(self) -> None:
    self._pending: list[_Save] = []

  def save(self, path: str, tree: Any, checksums: np.ndarray | None = None
           ) -> None:
    """Starts to save a pytree, and replaces what is at `path`.

    Args:
      path: the folder of the snapshot.
      tree: pytree of arrays [M, ...]. They are copied, so the caller may change
        them afterwards.
      checksums: uint64 array that is written into the same folder, as
        `folder.CHECKSUMS`; None: no such file.

    Raises:
      Damaged: the disk is full, or cannot be written to.
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
      self._pending.append(_Save(path, checkpointer, checksums))
      checkpointer.save(
          path, args=ocp.args.PyTreeSave(tree, save_args=save_args), force=True)
    except (OSError, ValueError) as e:
      self._give_up()
      raise _unsaved(path, e) from e

  def wait(self) -> None:
    """Waits until everything saved so far is durable.

    Raises:
      Damaged: something could not be written.
    """
    while self._pending:
      pending = self._pending.pop(0)
      try:
        pending.checkpointer.wait_until_finished()
        if pending.checksums is not None:
          tables.write_bytes(os.path.join(pending.path, folder.CHECKSUMS),
                             pending.checksums.astype('<u8').tobytes())
      except Exception as e:  # Orbax's thread may raise errors of any kind
        self._give_up()
        raise _unsaved(pending.path, e) from e
      pending.checkpointer.close()

  def _give_up(self) -> None:
    """Ends the other saves: Orbax prints tracebacks of those open at exit."""
    while self._pending:
      with contextlib.suppress(Exception):
        self._pending.pop().checkpointer.close()  # waits until it is finished


def restore(path: str, like: Any) -> Any:
  """Reads a whole pytree.

  Args:
    path: the folder of the snapshot.
    like: pytree of arrays with the structure, shapes and dtypes to be read.

  Returns:
    A pytree of NumPy arrays.

  Raises:
    Damaged: the snapshot is missing, not readable, or of other shapes.
  """
  import jax
  leaves, structure = jax.tree_util.tree_flatten_with_path(like)
  names = [jax.tree_util.keystr(p, simple=True, separator='.')
           for p, _ in leaves]
  # Orbax can read a whole pytree, but when something is damaged it leaves reads
  # behind whose errors nobody receives.
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
  """Values `start` to `stop` (exclusive) of vectors; None: to their end."""
  start: int = 0
  stop: int | None = None


def read_vectors(
    path: str, of: layout.Layout, rows: Sequence[int],
    window: Window = Window(), within: str = '',
    check: Callable[[int, np.ndarray], None] | None = None) -> np.ndarray:
  """Reads a window of some networks' vectors.

  Only the leaves that overlap the window are read, and only the given rows of
  them.

  Args:
    path: folder of a snapshot of Flax variables of one architecture.
    of: the architecture's layout.
    rows: the networks, in any order.
    window: the values, in the order of the vector.
    within: name of the tree in the snapshot, if it holds several; else empty.
    check: called with the index and the leaf of each tensor that is read; may
      raise an error.

  Returns:
    float32 [len(rows), stop - start].

  Raises:
    Damaged: the snapshot is missing or not readable.
  """
  start = window.start
  stop = of.num_weights if window.stop is None else window.stop
  row_R = np.asarray(rows, np.int64)
  spans = {t: s for t, s in enumerate(of.spans)
           if s.start < stop and s.stop > start}
  window_RxL = np.empty((len(row_R), stop - start), np.float32)
  try:
    stores = _open(path, ['.'.join((within, *s.leaf) if within else s.leaf)
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


def digest(vector_P: np.ndarray) -> str:
  """Digest of 64 bits of one network's values, as hexadecimal digits."""
  data = np.asarray(vector_P, '<f4').tobytes()
  return hashlib.blake2b(data, digest_size=8).hexdigest()


def digests(vectors_MxP: Iterable[np.ndarray]) -> list[str]:
  """The digest of every network."""
  return [digest(v) for v in vectors_MxP]


def checksum(leaf: np.ndarray) -> np.ndarray:
  """A checksum of each network's tensor: leaf [M, ...] -> uint64 [M].

  A tensor is taken as words of 64 bits, or of 32 bits if the number of these is
  odd. Its checksum is the sum of all words modulo 2**64, each multiplied by an
  odd number of its own; so it changes whenever one word changes. It costs a
  fortieth of `digest`. It detects accidents, not manipulation.
  """
  words = np.ascontiguousarray(leaf, '<f4').reshape(
      len(leaf), math.prod(leaf.shape[1:])).view('<u4')
  if words.shape[1] % 2 == 0:
    words = words.view('<u8')
  return np.einsum('mn,n->m', words, _odd_numbers(words.shape[1]))


@functools.lru_cache(maxsize=64)
def _odd_numbers(count: int) -> np.ndarray:
  """Odd numbers, uint64 [count], spread evenly by the golden ratio."""
  return np.arange(count, dtype=np.uint64) * np.uint64(
      0x9E3779B97F4A7C15) | np.uint64(1)


def digest_leaves(tree: Any) -> dict[str, str]:
  """{name of a leaf: digest of its bytes} of a pytree of arrays."""
  import jax
  return {jax.tree_util.keystr(p, simple=True, separator='.'):
          hashlib.blake2b(np.asarray(x).tobytes(), digest_size=8).hexdigest()
          for p, x in jax.tree_util.tree_leaves_with_path(tree)}


def _open(path: str, names: list[str]) -> list[ts.TensorStore]:
  """Opens the stored arrays of a snapshot's leaves."""
  if not os.path.isdir(path):  # TensorStore reads it as an empty snapshot
    raise FileNotFoundError('it is not there')
  forks.use('TensorStore')
  context = ts.Context(_CACHE)  # shared, so that the index is read once
  base = {'driver': 'file', 'path': os.path.abspath(path) + '/'}
  return [f.result() for f in [ts.open(
      {'driver': 'zarr3', 'kvstore': {
          'driver': 'ocdbt', 'base': base, 'path': name + '/'}},
      open=True, read=True, context=context) for name in names]]


@functools.cache
def _import_orbax() -> types.ModuleType:
  """Imports Orbax, which takes a second, and which only writers need."""
  import orbax.checkpoint as ocp
  # Orbax warns of every chunk below a megabyte, and prints tracebacks of the
  # errors that it raises anyway.
  logging.getLogger('absl').addFilter(_is_ours)
  sys.unraisablehook = _leave_out(sys.unraisablehook)
  return ocp


def _is_ours(record: logging.LogRecord) -> bool:
  return '/orbax/' not in record.pathname.replace(os.sep, '/')


def _leave_out(report: Callable[['sys.UnraisableHookArgs'], Any]
               ) -> Callable[['sys.UnraisableHookArgs'], None]:
  """Wraps `sys.unraisablehook` to suppress one error of TensorStore.

  After a save has failed, Orbax no longer waits for its other writes, and each
  of them reports that the event loop is closed.
  """
  def hook(unraisable: 'sys.UnraisableHookArgs') -> None:
    if str(unraisable.exc_value) != 'Event loop is closed':
      report(unraisable)
  return hook


def _check_room(path: str, num_bytes: int) -> None:
  """Raises OSError unless the disk has room for uncompressed arrays."""
  free = shutil.disk_usage(os.path.dirname(path)).free
  if free < num_bytes:
    raise OSError(f'No space left on device: {say.size(num_bytes)} are '
                  f'needed, {say.size(free)} are free')


def _unsaved(path: str, error: Exception) -> errors.Damaged:
  """The error for a snapshot that could not be saved."""
  full = say.FULL.search(str(error))
  return errors.Damaged(
      f'{path} could not be saved: {full[0] if full else say.first(error)}. '
      f'{say.advise(error)} and run the same command again: it goes on from '
      'what was saved before.')

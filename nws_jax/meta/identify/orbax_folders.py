"""Nested dicts of arrays as Orbax folders, which reading does not trust."""

import json
import logging
import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from nws_jax import errors, say
from nws_jax.store import disks

_RECORD = '_METADATA'
_LONGEST = 16 << 20  # bytes of it, at most
_ARRAYS = ('jax.Array', 'np.ndarray', 'scalar')


def write(path: str, tree: Any) -> None:
  """Saves a nested dict of arrays, and replaces whatever is at `path`.

  Raises:
    errors.Damaged: it cannot be written.
  """
  import jax
  ocp = _import_orbax()
  try:
    disks.adapt(os.path.dirname(os.path.abspath(path)))
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as writer:
      writer.save(os.path.abspath(path), args=ocp.args.PyTreeSave(
          jax.tree.map(np.asarray, tree)), force=True)
  except (OSError, ValueError) as e:
    raise errors.Damaged(f'{path} could not be written: {e}. {say.advise(e)} '
                         'and run the same command again.') from e


def is_item(path: str) -> bool:
  """Whether a folder is itself one tree that Orbax saved."""
  return os.path.isfile(os.path.join(path, _RECORD))


def list_shapes(path: str) -> dict[str, tuple]:
  """{keys joined by /: (shape, dtype)} of a folder; reads no array.

  Raises:
    ValueError: it is not such a folder, or an array in it has chunks larger
      than itself, which no writer makes.
  """
  try:
    record = _read_record(path)
    stores = _open(path, record, _list_names(record))
  except Exception as e:  # a damaged folder may raise anything
    raise ValueError(f'it is not an Orbax folder: {say.first(e)}') from e
  for name, store in stores.items():
    chunk = store.chunk_layout.read_chunk.shape or store.shape
    if any(c > max(n, 1) for c, n in zip(chunk, store.shape)):
      raise ValueError(
          f'{name} has chunks of {chunk} for a shape of {store.shape}')
  return {name: (store.shape, store.dtype.numpy_dtype)
          for name, store in stores.items()}


def read(path: str, shapes: Mapping[str, tuple]) -> dict[str, np.ndarray]:
  """Reads arrays whose shapes were checked before.

  TensorStore reads them as Orbax would, except that the devices they were saved
  from need not be there.

  Args:
    path: of the folder.
    shapes: {keys joined by /: (shape, dtype)} of the arrays to read.

  Returns:
    {keys joined by /: array}.

  Raises:
    ValueError: it cannot be read, or has other shapes.
  """
  try:
    record = _read_record(path)
    names = _list_names(record)
    stores = _open(path, record, {name: names[name] for name in shapes})
    reads = {name: store.read() for name, store in stores.items()
             if store.shape == tuple(shapes[name][0])}
    found = {name: future.result() for name, future in reads.items()}
  except Exception as e:  # a damaged folder may raise anything
    raise ValueError(f'it cannot be read: {say.first(e)}') from e
  for name, store in stores.items():
    if name not in reads:
      raise ValueError(f'{name} is {store.shape}, not {shapes[name][0]}')
  return found


def _read_record(path: str) -> dict:
  with open(os.path.join(path, _RECORD), 'rb') as f:
    return json.loads(f.read(_LONGEST))


def _list_names(record: dict) -> dict[str, str]:
  """{keys joined by /: the name of the array in the folder}."""
  found = {}
  for leaf in record['tree_metadata'].values():
    if leaf['value_metadata']['value_type'] in _ARRAYS:
      keys = [str(key['key']) for key in leaf['key_metadata']]
      if any(key in ('', '.', '..') or '/' in key for key in keys):
        raise ValueError(f'{keys} is not the name of an array')
      found['/'.join(keys)] = '.'.join(keys)
  return found


def _open(path: str, record: dict, names: dict[str, str]) -> dict[str, Any]:
  """{name: its `tensorstore.TensorStore`}, of `_list_names`."""
  import tensorstore as ts
  base = {'driver': 'file', 'path': os.path.abspath(path) + '/'}
  packed = os.path.exists(os.path.join(path, 'manifest.ocdbt'))
  driver = 'zarr3' if record.get('use_zarr3') else 'zarr'
  context, opened = ts.Context(), {}
  for name, stored in names.items():
    place = ({'driver': 'ocdbt', 'base': base} if packed else base)
    opened[name] = ts.open(
        {'driver': driver, 'kvstore': {
            **place, 'path': f'{place.get("path", "")}{stored}/'}},
        open=True, read=True, context=context)
  return {name: store.result() for name, store in opened.items()}


def _import_orbax() -> ModuleType:
  import orbax.checkpoint as ocp
  logger = logging.getLogger('absl')
  if _is_ours not in logger.filters:
    logger.addFilter(_is_ours)
  return ocp


def _is_ours(record: logging.LogRecord) -> bool:
  """Orbax warns of small chunks, and logs what it raises anyway."""
  return '/orbax/' not in record.pathname.replace(os.sep, '/')

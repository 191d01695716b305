"""Pytrees of arrays as Orbax folders: written whole, and read with care."""

import logging
import os

import numpy as np

from nws_jax import errors, say
from nws_jax.store import disks


def write(path, tree):
  """Saves a pytree; what lies at `path` is replaced."""
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


def list_shapes(path):
  """{names joined by /: (shape, dtype)} of a folder; reads no array.

  Raises:
    ValueError: it is no such folder, or an array in it is stored in chunks
      larger than itself, which no writer does.
  """
  ocp = _import_orbax()
  try:
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
      tree = reader.metadata(os.path.abspath(path)).item_metadata.tree
  except Exception as e:  # of any kind: what is wrong is not known
    raise ValueError(f'it is no Orbax folder: {say.first(e)}') from e
  found = {}
  for name, leaf in _flatten(tree):
    shape, dtype = getattr(leaf, 'shape', None), getattr(leaf, 'dtype', None)
    if shape is None or dtype is None:
      raise ValueError(f'{name} is no array')
    storage = getattr(leaf, 'storage', None)
    chunk = getattr(storage, 'chunk_shape', None) or shape
    if any(c > max(n, 1) for c, n in zip(chunk, shape)):
      raise ValueError(f'{name} has chunks of {chunk} for a shape of {shape}')
    found[name] = tuple(shape), np.dtype(dtype)
  return found


def read(path, shapes):
  """Reads arrays whose shapes were looked at before.

  Args:
    path: of the folder.
    shapes: {names joined by /: (shape, dtype)} of all its arrays.

  Returns:
    a nested dict of NumPy arrays.

  Raises:
    ValueError: it cannot be read, or has other shapes.
  """
  import jax
  ocp = _import_orbax()
  like = nest({name: np.zeros((), dtype) for name, (_, dtype)
               in shapes.items()})
  try:
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
      tree = reader.restore(os.path.abspath(path), args=ocp.args.PyTreeRestore(
          item=like, restore_args=jax.tree.map(
              lambda _: ocp.RestoreArgs(restore_type=np.ndarray), like)))
  except Exception as e:  # of any kind: what is wrong is not known
    raise ValueError(f'it cannot be read: {say.first(e)}') from e
  for name, leaf in _flatten(tree):
    if leaf.shape != shapes[name][0]:
      raise ValueError(f'{name} is {leaf.shape}, not {shapes[name][0]}')
  return tree


def flatten(tree):
  """{names joined by /: leaf} of a nested dict."""
  return dict(_flatten(tree))


def nest(leaves):
  """Inverse of `flatten`."""
  tree = {}
  for name, leaf in leaves.items():
    *parents, last = name.split('/')
    at = tree
    for parent in parents:
      at = at.setdefault(parent, {})
    at[last] = leaf
  return tree


def _flatten(tree, prefix=''):
  if not hasattr(tree, 'items'):
    raise ValueError('it is no nested dictionary of arrays')
  for name, value in tree.items():
    if hasattr(value, 'items'):
      yield from _flatten(value, f'{prefix}{name}/')
    else:
      yield f'{prefix}{name}', value


def _import_orbax():
  import orbax.checkpoint as ocp
  logger = logging.getLogger('absl')
  if _is_ours not in logger.filters:
    logger.addFilter(_is_ours)
  return ocp


def _is_ours(record):
  """Orbax warns of small chunks, and prints what it raises anyway."""
  return '/orbax/' not in record.pathname.replace(os.sep, '/')

"""Orbax: the folder of an item, of a step with its items, or of a
CheckpointManager with its steps."""

import os
import re

import numpy as np

from nws_jax.meta.identify import orbax_folders
from nws_jax.meta.identify.checkpoints import arrays

_UNFINISHED = '.orbax-checkpoint-tmp'


def read(path: str, lengths: set[int]) -> arrays.Arrays:
  """The arrays of all items of a step; raises `ValueError` if there is none."""
  step = _find_step(path)
  items = _list_items(step)
  if not items:
    raise ValueError('it is not an Orbax folder, nor does it hold one: no '
                     'step or item in it has a file _METADATA')
  for item in items.values():
    arrays.check_plain(item)
  entries = {f'{prefix}{name}': shape for prefix, item in items.items()
             for name, shape in orbax_folders.list_shapes(item).items()}

  def load(names: list[str]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for prefix, item in items.items():
      of_item = {n.removeprefix(prefix): entries[n] for n in names
                 if n.startswith(prefix)}
      found |= {f'{prefix}{name}': x for name, x in orbax_folders.read(
          item, of_item).items()}
    return found
  return arrays.make(step, entries, load)


def _find_step(path: str) -> str:
  """The folder itself, or the newest step of a CheckpointManager's."""
  if _list_items(path):
    return path
  steps = [(int(m[0]), n) for n in os.listdir(path)
           if (m := re.search(r'\d{1,18}$', n)) and _UNFINISHED not in n
           and _list_items(os.path.join(path, n))]
  return os.path.join(path, max(steps)[1]) if steps else path


def _list_items(path: str) -> dict[str, str]:
  """{prefix of its names: folder} of the items of one step."""
  if orbax_folders.is_item(path):
    return {'': path}
  inner = sorted(os.listdir(path)) if os.path.isdir(path) else ()
  return {f'{name}/': os.path.join(path, name) for name in inner
          if orbax_folders.is_item(os.path.join(path, name))}

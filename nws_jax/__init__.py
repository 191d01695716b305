"""Populations of small CNNs, and what can be read from their weights.

Suffixes of array names give their shapes, outermost axis first:

  M  networks of a population     N  images of a set
  E  snapshots of a network       B  batch
  P  values of a flat vector      H W C  image height, width, channels
  T  evaluations or steps         L  window length
  K  classes

For example `weights_MxExP`, `images_NxHxWxC`, `windows_BxL`, `labels_N`. A
function that needs other letters defines them at its top.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from nws_jax import api


def open_zoo(path: str | os.PathLike[str]) -> api.Zoo:
  """Opens a zoo folder for reading; see `nws_jax.api.Zoo`."""
  from nws_jax import api  # Orbax and TensorStore are slow to import.
  return api.Zoo(path)


def _begin() -> None:
  """Prepares streams and signals for `python -m nws_jax.NAME`.

  This runs before the command's own imports, which take time in which a signal
  may arrive.
  """
  given = sys.orig_argv
  # While Python looks up the module to run, sys.argv is ['-m', ...].
  if sys.argv[:1] == ['-m'] and '-m' in given:
    name = given[given.index('-m') + 1]
    if name.startswith(f'{__name__}.'):
      from nws_jax import interrupts, streams
      streams.occupy()
      interrupts.listen(name)


_begin()

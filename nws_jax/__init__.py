"""Populations of small CNNs, and what their weights tell.

Letters in names state shapes, outermost axis first:

  M  networks of a population     N  images of a set
  E  snapshots of a network       B  batch
  P  values of a flat vector      H W C  image height, width, channels
  T  evaluations or steps         L  window length
  K  classes

So `weights_MxExP`, `images_NxHxWxC`, `windows_BxL`, `labels_N`. A function may
add local letters at its top.
"""

import sys


def open_zoo(path):
  """Opens a zoo folder for reading; see `nws_jax.api.Zoo`."""
  from nws_jax import api  # Orbax and TensorStore are slow to import.
  return api.Zoo(path)


def _begin():
  """What has to be settled in the first line of `python -m nws_jax.NAME`."""
  given = sys.orig_argv
  if sys.argv[:1] == ['-m'] and '-m' in given:  # so it is while it is looked up
    name = given[given.index('-m') + 1]
    if name.startswith(f'{__name__}.'):
      from nws_jax import interrupts, streams
      streams.occupy()
      interrupts.listen(name)


_begin()

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


def open_zoo(path):
  """Opens a zoo folder for reading; see `nws_jax.api.Zoo`."""
  from nws_jax import api  # Orbax and TensorStore are slow to import.
  return api.Zoo(path)

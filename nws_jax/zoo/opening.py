"""Before anything is trained: is the request possible, and is it this zoo's?

All of it happens before jax starts, so that a wrong request costs a second.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import time
from importlib import metadata

import numpy as np

from nws_jax import errors
from nws_jax.store import tables
from nws_jax.zoo import plan, runtime

_PACKAGES = ('nws_jax', 'jax', 'jaxlib', 'flax', 'numpy', 'optax',
             'orbax-checkpoint', 'tensorstore')


def check_sizes(batch_sizes, images_each):
  """Raises `Wrong` if a set cannot fill a batch.

  Args:
    batch_sizes: all that may be drawn.
    images_each: {image set: images of an epoch}.
  """
  for name, images in images_each.items():
    if images < max(batch_sizes):
      raise errors.Wrong(
          f'batch_size={max(batch_sizes)} is not possible: {name} has {images} '
          'balanced training images. Restrict --config.batch_size or '
          '--config.datasets.')


def check_free(workdir):
  """Raises `Wrong` for a folder that holds something else than a zoo."""
  if os.path.exists(workdir) and not os.path.isdir(workdir):
    raise errors.Wrong(f'{workdir} is a file. Name a folder with --workdir.')
  if os.path.isdir(workdir) and not os.path.exists(
      os.path.join(workdir, 'config.json')):
    others = sorted(set(os.listdir(workdir)) - {'lock'})
    if others:
      raise errors.Wrong(
          f'{workdir} is not a zoo, and not empty: it holds {others[0]!r}. '
          'Name another --workdir.')


def settle_config(workdir, recipe, sets):
  """Writes config.json, or compares the one there with what is asked.

  Args:
    workdir: the zoo's folder.
    recipe: `recipe.Recipe`.
    sets: {name: `images.ImageSet`}.

  Raises:
    errors.Wrong: another zoo is there; names the first key that differs.
  """
  path = os.path.join(workdir, 'config.json')
  asked = {**recipe.record(),
           'images': {name: _digest(s) for name, s in sets.items()}}
  if not os.path.exists(path):
    tables.write_json(path, {**asked, **_provenance()})
    return
  there = tables.read_json(path)
  for key, value in asked.items():
    # Where the images lie and how many train together change no draw.
    if key not in ('data_dir', 'networks_per_program') and (
        there.get(key) != value):
      raise errors.Wrong(
          f'{workdir} holds another zoo: its {key} is {there.get(key)!r}, not '
          f'{value!r}. Ask for the same, or name another --workdir.')


def settle_plan(workdir, recipe, rows):
  """Reads plan.json, or makes it; starts jax the way the plan wants it."""
  path = os.path.join(workdir, 'plan.json')
  there = plan.read(path) if os.path.exists(path) else None
  found, devices = runtime.start(there.devices if there else None)
  if there is None:
    there = plan.make(rows, found, devices, recipe.networks_per_program)
    plan.write(path, there)
  elif (there.platform, there.devices) != (found, devices):
    raise errors.Wrong(
        f'{workdir} was begun on {there.devices} {there.platform} devices, but '
        f'{devices} {found} devices are here. Go on where it began, or set '
        f'JAX_PLATFORMS={there.platform}.')
  return there


def _digest(image_set):
  h = hashlib.sha256()
  for array in image_set:
    h.update(np.ascontiguousarray(array))
  return h.hexdigest()


def _provenance():
  """Versions, revision and time, for who repeats this a year later."""
  return {
      'versions': {'python': platform.python_version(),
                   **{p: _version(p) for p in _PACKAGES}},
      'revision': _revision(),
      'created': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}


def _version(package):
  try:
    return metadata.version(package)
  except metadata.PackageNotFoundError:  # run from its source folder
    return None


def _revision():
  root = os.path.dirname(os.path.dirname(os.path.dirname(
      os.path.abspath(__file__))))
  if not shutil.which('git') or not os.path.exists(os.path.join(root, '.git')):
    return None
  done = subprocess.run(['git', '-C', root, 'describe', '--always', '--dirty'],
                        capture_output=True, text=True)
  return done.stdout.strip() or None

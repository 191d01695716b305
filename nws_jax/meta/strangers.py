"""Weights that someone else made, read with care into one flat vector.

What a file says of itself is compared with the architectures that are known
before anything of that size is allocated, and nothing is ever unpickled.
"""

import json
import os
import zipfile
from typing import Any, NamedTuple

import numpy as np

from nws_jax import errors, say
from nws_jax.meta import orbax_folders
from nws_jax.store import vectors

_KINDS = ('a snapshot of a zoo (FOLDER:ID or FOLDER:ID:EPOCH), an NWS .bin, '
          'an .npz, a .safetensors file, or an Orbax folder of Flax variables')
_HEADER = 1 << 20  # bytes of a safetensors header, at most
_TYPES = {'F64': 'f8', 'F32': 'f4', 'F16': 'f2', 'BF16': 'u2'}


class Stranger(NamedTuple):
  """A network to identify."""
  name: str
  vector_P: Any  # float32
  architecture: str


class Unknown(ValueError):
  """It is of an architecture that no classifier knows."""


def read(path, known):
  """Reads a file or folder.

  Args:
    path: of the checkpoint.
    known: {architecture: its `layouts.Tensor`s} that classifiers can read.

  Returns:
    `Stranger`.

  Raises:
    errors.Wrong: it is not of a known architecture, not finite, a pickle, or
      nothing that can be read.
  """
  if not os.path.exists(path):
    raise errors.Wrong(f'{path}: there is no such file or folder. Give '
                       f'{_KINDS}.')
  try:
    if os.path.isdir(path):
      vector_P, name = _read_folder(path, known)
    else:
      vector_P, name = _read_file(path, known)
  except errors.Wrong:
    raise
  except Unknown as e:
    raise errors.Wrong(f'{path}: {e}') from e
  except Exception as e:  # a stranger's file may make a reader raise anything
    raise errors.Wrong(f'{path} cannot be read: {say.first(e)}. Give '
                       f'{_KINDS}.') from e
  return check(path, vector_P, name)


def check(path, vector_P, name):
  """A `Stranger` of finite weights; raises `Wrong` for others."""
  with np.errstate(over='ignore'):  # becomes infinite, and is told
    vector_P = np.asarray(vector_P, np.float32)
  bad = int(np.sum(~np.isfinite(vector_P)))
  if bad:
    raise errors.Wrong(f'{path} cannot be identified: {bad:,} of its '
                       f'{vector_P.size:,} weights are NaN or infinite.')
  return Stranger(path, vector_P, name)


def match_length(count, known):
  """The architecture of a vector without names; raises `Unknown`."""
  lengths = {name: tensors[-1].stop for name, tensors in known.items()}
  fit = [name for name, n in lengths.items() if n == count]
  if len(fit) == 1:
    return fit[0]
  if fit:
    raise Unknown(
        f'a vector of {count:,} weights may be any of {", ".join(fit)}: give '
        'Flax variables, whose names and shapes tell them apart.')
  raise Unknown(
      f'it has {count:,} weights, and so is unlike anything in the zoo that '
      'the classifiers know; there: ' + ', '.join(
          f'{n:,} ({name})' for name, n in lengths.items()) + '.')


def match_shapes(shapes, known):
  """The architecture whose Flax variables have these shapes.

  Args:
    shapes: {names joined by /: shape}.
    known: as of `read`.

  Raises:
    Unknown: there is none; names what differs least.
  """
  problems = []
  for name, tensors in known.items():
    wanted = {'/'.join(vectors.leaf_name(t)): t.shape for t in tensors}
    problem = [f'{key} is missing' for key in wanted if key not in shapes]
    problem += [f'{key} is not of it' for key in shapes if key not in wanted]
    problem += [f'{key} is {_say(shapes[key])}, not {_say(wanted[key])}'
                for key in wanted if key in shapes
                and tuple(shapes[key]) != wanted[key]]
    if not problem:
      return name
    problems.append((len(problem), name, problem[0]))
  _, name, first = min(problems)
  raise Unknown(
      'it is of an architecture unlike anything in the zoo that the '
      f'classifiers know; of {name}, {first[:200]}. Names are those of Flax '
      'variables, as params/fc1/kernel.')


def _say(shape):
  return 'x'.join(map(str, shape)) or 'a number'


def _read_folder(path, known):
  if os.path.exists(os.path.join(path, 'members.csv')):
    raise errors.Wrong(f'{path} is a zoo: name a network of it, as {path}:7, '
                       f'or one after an epoch, as {path}:7:10.')
  if not os.path.exists(os.path.join(path, '_METADATA')) and os.path.exists(
      os.path.join(path, 'default', '_METADATA')):
    path = os.path.join(path, 'default')  # as CheckpointManager has it
  found = orbax_folders.list_shapes(path)
  return _collect(found, known, lambda: orbax_folders.flatten(
      orbax_folders.read(path, found)))


def _read_file(path, known):
  with open(path, 'rb') as f:
    magic = f.read(8)
    f.seek(max(0, os.path.getsize(path) - 1))
    last = f.read(1)
  if magic[:1] == b'\x80' and magic[1:2] in b'\2\3\4\5' and last == b'.':
    raise _pickle(path)
  if magic[:4] == b'PK\3\4':
    return _read_npz(path, known)
  if path.endswith('.safetensors'):
    return _read_safetensors(path, known)
  if path.endswith('.bin'):
    size = os.path.getsize(path)
    if size % 8:
      raise ValueError(f'it has {size:,} bytes, which is no whole number of '
                       'float64 values')
    name = match_length(size // 8, known)
    return np.fromfile(path, '<f8'), name
  raise ValueError('it is none of the kinds that can be read')


def _read_npz(path, known):
  with zipfile.ZipFile(path) as archive:
    names = archive.namelist()
    if any(n.endswith(('.pkl', '.pickle')) for n in names):
      raise _pickle(path)  # PyTorch's files are such
    found = {}
    for name in names:
      if not name.endswith('.npy'):
        raise ValueError(f'{name[:100]!r} in it is no array')
      with archive.open(name) as f:
        found[name.removesuffix('.npy')] = _read_npy_header(f, name)

    def load():
      arrays = {}
      for name in names:
        with archive.open(name) as f:
          arrays[name.removesuffix('.npy')] = np.lib.format.read_array(
              f, allow_pickle=False)
      return arrays
    return _collect(found, known, load)


def _read_npy_header(f, name):
  version = np.lib.format.read_magic(f)
  if version != (1, 0):  # later ones may be as long as a file says
    raise ValueError(f'{name[:100]!r} has a header of version {version}')
  shape, _, dtype = np.lib.format.read_array_header_1_0(f)
  if dtype.hasobject:
    raise errors.Wrong(f'{name[:100]} holds Python objects, which would be a '
                       'pickle: it is not loaded. Save plain arrays.')
  return shape, dtype


def _read_safetensors(path, known):
  """The format: 8 bytes of length, a JSON header, the arrays.

  The library of that name (0.8) checks as much, but parses headers of up to
  100 MB, and one of 26 MB took it 0.55 GB of memory; these lines bound that,
  and spare a compiled dependency.
  """
  size = os.path.getsize(path)
  with open(path, 'rb') as f:
    length = int.from_bytes(f.read(8), 'little')
    if not 2 <= length <= min(_HEADER, size - 8):
      raise ValueError(f'its header would have {length:,} bytes')
    header = json.loads(f.read(length))
  header.pop('__metadata__', None)
  found, places = {}, {}
  for name, entry in header.items():
    if entry['dtype'] not in _TYPES:
      raise ValueError(f'{name[:100]} is of type {str(entry["dtype"])[:20]}; '
                       f'allowed: {", ".join(_TYPES)}')
    shape = tuple(int(n) for n in entry['shape'])
    dtype = np.dtype('<' + _TYPES[entry['dtype']])
    begin, end = (int(n) for n in entry['data_offsets'])
    room = dtype.itemsize
    for n in shape:
      room *= n
    if min(shape, default=0) < 0 or not (
        0 <= begin <= end <= size - 8 - length and end - begin == room):
      raise ValueError(f'{name[:100]} is said to lie at {begin} to {end}, '
                       f'with the shape {shape}')
    key = name.replace('.', '/')
    found[key] = shape, np.dtype('f4' if dtype.kind == 'u' else dtype)
    places[key] = dtype, begin

  def load():
    arrays = {}
    for key, (shape, _) in found.items():
      count, (dtype, begin) = int(np.prod(shape)), places[key]
      x = np.fromfile(path, dtype, count, offset=8 + length + begin)
      if dtype.kind == 'u':  # bfloat16: the upper half of a float32
        x = (x.astype(np.uint32) << 16).view(np.float32)
      arrays[key] = x.reshape(shape)
    return arrays
  return _collect(found, known, load)


def _collect(found, known, load):
  """(vector, architecture) of arrays that are loaded once they are known.

  Args:
    found: {name: (shape, dtype)}.
    known: as of `read`.
    load: () -> {name: array}.
  """
  for name, (_, dtype) in found.items():
    if dtype.kind != 'f' and dtype.name != 'bfloat16':
      raise ValueError(f'{name[:100]} is {dtype}, not floating-point')
  shapes = {name.replace('.', '/'): shape
            for name, (shape, _) in found.items()}
  if len(found) == 1 and len(*shapes.values()) == 1:
    architecture = match_length(*next(iter(shapes.values())), known)
    vector, = load().values()
    return vector, architecture
  architecture = match_shapes(shapes, known)
  arrays = {name.replace('.', '/'): x for name, x in load().items()}
  return np.concatenate([
      vectors.flatten(np.asarray(arrays['/'.join(vectors.leaf_name(t))]), t)
      for t in known[architecture]]), architecture


def _pickle(path):
  return errors.Wrong(
      f'{path} is a pickle, which can run anything when it is loaded: it is '
      'not. Save the arrays as .npz or .safetensors.')

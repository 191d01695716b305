"""Full image sets in the format of TensorFlow Datasets, without TensorFlow.

  DATA_DIR/<name>/<version>/
    <name>-<split>.array_record-*, dataset_info.json, features.json
    nws_jax.npz     the same as arrays, because reading records is slow

Names, versions, features and the order of records are those of the official
builders. Their `download_and_prepare` needs TensorFlow, but here neither
writing (images are passed as PNG bytes) nor reading does. The parts of
svhn_cropped and stl10 that nothing here reads (extra, unlabelled) are left out.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import tqdm

from nws_jax import bars, errors, paths, say
from nws_jax.store import locks
from nws_jax.zoo import archives, downloads

VERSIONS = {
    'mnist': '3.0.1',
    'fashion_mnist': '3.0.1',
    'cifar10': '3.0.2',
    'svhn_cropped': '3.1.0',
    'stl10': '1.0.0',
}
SPLITS = ('train', 'test')
_FIELDS = archives.Archive._fields[:4]
_CACHE = 'nws_jax.npz'


def root(data_dir: str | None = None) -> str:
  """The folder of all sets; None: the default of TensorFlow Datasets."""
  if data_dir:
    return paths.expand(data_dir, 'data_dir')
  return paths.expand(os.environ.get('TFDS_DATA_DIR')
                      or os.path.join('~', 'tensorflow_datasets'),
                      'TFDS_DATA_DIR')


def folder(name: str, data_dir: str | None = None) -> str:
  """The folder of a set."""
  return os.path.join(root(data_dir), name, VERSIONS[name])


def exists(name: str, data_dir: str | None = None) -> bool:
  """Whether a set is prepared.

  Raises:
    errors.Wrong, errors.Damaged: what is there cannot be used; see `read`.
  """
  path = folder(name, data_dir)
  if not os.path.lexists(path):
    return False
  _check_records(path, _list_shards(path, name))
  return True


def read(name: str, data_dir: str | None = None) -> archives.Archive:
  """Reads a prepared set.

  The first call also writes the array file, from which later calls read.

  Returns:
    The set, in the publisher's order, at the original size of the images.

  Raises:
    errors.Wrong: the set is not prepared, or in a format that needs TensorFlow.
    errors.Damaged: its files are incomplete or corrupt.
  """
  path = folder(name, data_dir)
  if not os.path.lexists(path):
    there = [n for n in VERSIONS if os.path.lexists(folder(n, data_dir))]
    raise errors.Wrong(
        f'dataset {name!r} is not prepared: there is no {path}. Prepare it '
        f'with: python -m nws_jax.data --prepare={name}'
        + (f' --data_dir={data_dir}' if data_dir else '')
        + (f'; or restrict the zoo to what is: --config.datasets='
           f'{",".join(there)}' if there else ''))
  archive = _read_folder(path, name)
  archives.check(name, archive, path, 'remove it and prepare the set again')
  return archive


@contextlib.contextmanager
def hold(name: str, data_dir: str | None = None) -> Iterator[None]:
  """Locks a set to prepare it, and removes remnants of failed attempts."""
  path = folder(name, data_dir)
  with locks.hold(f'{path}.lock'):
    staging = _staging(os.path.dirname(path))
    shutil.rmtree(staging, ignore_errors=True)
    try:
      yield
    finally:
      shutil.rmtree(staging, ignore_errors=True)


def write(name: str, archive: archives.Archive, data_dir: str | None = None
          ) -> None:
  """Prepares a set from its publisher's archive; call it inside `hold`.

  The set gets its name only after it was read back equal to `archive`.

  Raises:
    errors.Damaged: it cannot be written, or was read back differently.
  """
  path = folder(name, data_dir)
  staging = _staging(os.path.dirname(path))
  made = _write_records(name, archive, staging)
  back = _read_folder(made, name)
  if not all(np.array_equal(a, b) for a, b in zip(archive[:4], back[:4])):
    raise errors.Damaged(f'{name} reads back other than it was written; this '
                         'version of tensorflow-datasets cannot be used.')
  os.rename(made, path)


def _staging(parent: str) -> str:
  return os.path.join(parent, 'incomplete.nws_jax')


def _write_records(set_name: str, archive: archives.Archive, data_dir: str
                   ) -> str:
  """Runs the official builder; returns the folder that it has written."""
  tfds = downloads.import_tfds()
  official: Any = tfds.builder_cls(set_name)

  # The base class, which mypy does not know, takes the argument.
  class Builder(official, skip_registration=True):  # type: ignore[call-arg]
    """The official builder, except for where its examples come from."""
    name = set_name
    VERSION = tfds.core.Version(VERSIONS[set_name])
    pkg_dir_path = official.pkg_dir_path

    def _split_generators(self, manager: Any) -> dict[str, Any]:
      del manager  # nothing to download or extract
      if archive.class_names:
        self.info.features['label'].names = list(archive.class_names)
      has_id = 'id' in self.info.features
      return {split: _make_examples(set_name, archive, split, has_id, bar)
              for split in SPLITS}

  total = len(archive.train_labels) + len(archive.test_labels)
  tfds.disable_progress_bar()  # the bar below counts images instead
  try:
    with (bars.make(total, desc=f'{set_name}: writing',
                    unit=' images') as bar,
          contextlib.redirect_stdout(io.StringIO())):
      builder = Builder(data_dir=data_dir, file_format='array_record')
      builder.download_and_prepare()
  except Exception as e:  # of TFDS or array_record; the disk may be full
    raise errors.Damaged(
        f'{set_name} could not be written to {data_dir}: {e}. {say.advise(e)}, '
        'or give another --data_dir, and run the same command again: sets '
        'that are prepared stay.') from e
  finally:
    tfds.enable_progress_bar()
  return os.fspath(builder.data_dir)


def _make_examples(name: str, archive: archives.Archive, split: str,
                   has_id: bool, bar: tqdm.tqdm
                   ) -> Iterator[tuple[int, dict[str, Any]]]:
  """Yields (key, example); the key is the index, and orders the records."""
  images, labels = archive.parts[split]
  digits = 6 if name == 'svhn_cropped' else 5
  for i, (image, label) in enumerate(zip(images, labels)):
    example = {'image': _to_png(image), 'label': int(label)}
    if has_id:
      example['id'] = f'{split}_{i:0{digits}d}'
    bar.update()
    yield i, example


def _to_png(image_HxWxC: np.ndarray) -> bytes:
  from PIL import Image
  buffer = io.BytesIO()
  image = image_HxWxC[..., 0] if image_HxWxC.shape[-1] == 1 else image_HxWxC
  Image.fromarray(np.ascontiguousarray(image)).save(buffer, 'PNG')
  return buffer.getvalue()


def _list_shards(path: str, name: str) -> dict[str, list[int]]:
  """{split: the number of records in each of its files} of a prepared set."""
  try:
    with open(os.path.join(path, 'dataset_info.json'), encoding='utf-8') as f:
      info = json.load(f)
    shards = {s['name']: [int(n) for n in s['shardLengths']]
              for s in info['splits']}
    found, form = info['name'], info['fileFormat']
    shards = {split: shards[split] for split in SPLITS}
  except (OSError, ValueError, KeyError, TypeError) as e:
    raise errors.Damaged(f'{path} is no whole prepared set ({e!r}); remove it '
                         'and prepare the set again.') from e
  if found != name:
    raise errors.Damaged(f'{path} holds {found}, not {name}; remove it and '
                         'prepare the set again.')
  if form != 'array_record':
    raise errors.Wrong(f'{path} is in the format {form}, which needs '
                       'TensorFlow; prepare the set in another --data_dir.')
  return shards


def _check_records(path: str, shards: dict[str, list[int]]) -> None:
  """Opens all files of records, which finds truncated ones at once."""
  downloads.import_tfds()
  from array_record.python import array_record_module
  for split, lengths in shards.items():
    files = _list_records(path, split)
    if len(files) != len(lengths):
      raise _corrupt(path, split, f'{len(files)} of {len(lengths)} files')
    for file, length in zip(files, lengths):
      found = array_record_module.ArrayRecordReader(file).num_records()
      if found != length:
        raise _corrupt(path, split, f'{os.path.basename(file)} is cut short, '
                       'or another file')


def _list_records(path: str, split: str) -> list[str]:
  """Sorted paths of the files of records of a split."""
  return [os.path.join(path, f) for f in sorted(os.listdir(path))
          if f'-{split}.array_record-' in f]


def _corrupt(path: str, split: str, reason: Exception | str) -> errors.Damaged:
  return errors.Damaged(f'{path}: the records of {split} are corrupt '
                        f'({reason}); remove it and prepare the set again.')


def _read_folder(path: str, name: str) -> archives.Archive:
  """Reads a prepared set from its array file, or else from its records."""
  shards = _list_shards(path, name)
  of = _identify(path)
  cache = os.path.join(path, _CACHE)
  with contextlib.suppress(Exception):  # a damaged file may raise any error
    with open(cache, 'rb') as f, np.load(f, allow_pickle=False) as stored:
      if stored['of'] == of:
        return archives.Archive(*(stored[f] for f in _FIELDS))
  _check_records(path, shards)
  train, test = (_decode(path, name, split, sum(shards[split]))
                 for split in SPLITS)
  with contextlib.suppress(OSError):  # in a read-only folder, there is no cache
    _write_cache(cache, dict(zip(_FIELDS, (*train, *test)), of=of))
  return archives.Archive(*train, *test)


def _identify(path: str) -> str:
  """A digest of the description and the sizes of a prepared set's records."""
  with open(os.path.join(path, 'dataset_info.json'), 'rb') as f:
    h = hashlib.sha256(f.read())
  for file in sorted(os.listdir(path)):
    if '.array_record-' in file:
      size = os.path.getsize(os.path.join(path, file))
      h.update(f'{file} {size} '.encode())
  return h.hexdigest()


def _write_cache(path: str, arrays: dict[str, Any]) -> None:
  """Writes an .npz file atomically; NumPy checks its checksums on reading."""
  aside = f'{path}.{os.getpid()}'
  try:
    with open(aside, 'wb') as f:
      np.savez(f, **arrays)
    os.replace(aside, path)
  finally:
    with contextlib.suppress(OSError):
      os.remove(aside)


def _decode(path: str, name: str, split: str, num: int) -> archives.Part:
  """Reads the records of a split, and restores the publisher's order.

  TFDS sorts records by the MD5 digest of the split's name and the key, which is
  the index in the publisher's order.
  """
  tfds = downloads.import_tfds()
  order_N = np.argsort([
      hashlib.md5(f'{split}{i}'.encode(), usedforsecurity=False).hexdigest()
      for i in range(num)])
  images, labels_N = np.zeros(0, np.uint8), np.zeros(num, np.uint8)
  try:
    source = tfds.builder_from_directory(path).as_data_source(split)
    bar = bars.make(num, iterable=source, desc=f'{name}: reading {split}',
                    unit=' images')
    for i, example in zip(order_N, bar, strict=True):
      if not len(images):
        images = np.zeros((num, *example['image'].shape), np.uint8)
      images[i], labels_N[i] = example['image'], example['label']
  except Exception as e:  # of TFDS, array_record or PIL
    raise _corrupt(path, split, e) from e
  return archives.Part(images, labels_N)

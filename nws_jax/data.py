"""Prepares the full image sets, for `config.dataset_source='tfds'`.

  python -m nws_jax.data --prepare=mnist,fashion_mnist --archives=DIR

The sets are written to the folders of TensorFlow Datasets, under its names and
versions, without TensorFlow. The publishers' archives are read from DIR, or
downloaded. (An archive is looked for in DIR/NAME first, since mnist and
fashion_mnist use the same file names.) A set that is already prepared is
skipped; what an interrupted run left behind is removed.
"""

import os
import time
from collections.abc import Callable, Sequence

from absl import flags

from nws_jax import cli, errors, options
from nws_jax.zoo import archives, downloads, prepared

_FLAGS = flags.FlagValues()
_PREPARE = flags.DEFINE_list(
    'prepare', [], f'Sets to prepare: any of {", ".join(prepared.VERSIONS)}.',
    flag_values=_FLAGS)
_ARCHIVES = options.define_path(
    'archives', None, "Folder of the publishers' archives, under "
    'their published names; without it they are downloaded.', _FLAGS)
_DATA_DIR = options.define_path(
    'data_dir', None, 'Where to write the sets; by default the folder of '
    'TensorFlow Datasets: $TFDS_DATA_DIR or ~/tensorflow_datasets.', _FLAGS)


def main() -> None:
  prepare(_PREPARE.value, _ARCHIVES.value, _DATA_DIR.value)


def prepare(names: Sequence[str], archives_dir: str | None = None,
            data_dir: str | None = None,
            verify: Callable[[str, str, str], None] | None = None) -> None:
  """Prepares sets from their archives; prints one line for each.

  Args:
    names: of `prepared.VERSIONS`.
    archives_dir: folder of the archives; None downloads them.
    data_dir: see `prepared.folder`.
    verify: called with (set, file, path) of each archive; raises
      `errors.Damaged` if it is not the published one. None is
      `verify_published`.

  Raises:
    errors.Wrong: unknown set, missing archive, or unusable folder.
    errors.Damaged: an archive is not the published one, a download failed, or
      a set in `data_dir` is incomplete.
  """
  known = ', '.join(prepared.VERSIONS)
  if not names:
    raise errors.Wrong(f'--prepare is empty; name some of {known}.')
  for name in names:
    if name not in prepared.VERSIONS:
      raise errors.Wrong(f'--prepare={name} is not possible; allowed: {known}.')
  todo = []
  for name in dict.fromkeys(names):
    if prepared.exists(name, data_dir):
      print(f'{name}: already prepared in {prepared.folder(name, data_dir)}')
    else:
      todo.append(name)
  found, downloaded = {}, os.path.join(prepared.root(data_dir), 'downloads')
  if archives_dir:
    found = find(todo, archives_dir)
  else:
    downloads.check_reach(
        {n: downloads.list_published(n) for n in todo}, downloaded)
  for name in todo:
    start = time.monotonic()
    with prepared.hold(name, data_dir):
      paths = found.get(name) or downloads.download(name, downloaded)
      for file, path in paths.items():
        (verify or verify_published)(name, file, path)
      archive = archives.read(name, paths)
      prepared.write(name, archive, data_dir)
    print(f'{name}: {len(archive.train_labels):,} training and '
          f'{len(archive.test_labels):,} test images prepared in '
          f'{prepared.folder(name, data_dir)} '
          f'({time.monotonic() - start:.0f} s)', flush=True)


def find(names: Sequence[str], archives_dir: str
         ) -> dict[str, dict[str, str]]:
  """{set: {file: path}} of the archives in a folder, or in its subfolders that
  are named like the sets.

  Raises:
    errors.Wrong: some are missing; names them, and where to get them.
  """
  if not os.path.isdir(archives_dir):
    raise errors.Wrong(f'--archives={archives_dir} is not a folder.')
  paths = {name: {file: archives.find(os.path.join(archives_dir, name), file)
                  or archives.find(archives_dir, file)
                  for file in archives.FILES[name]} for name in names}
  missing = [downloads.Missing(name, file) for name in names
             for file, path in paths[name].items() if path is None]
  if missing:
    lacking = {name: None for name, _ in missing}
    published = {name: downloads.list_published(name) for name in lacking}
    raise errors.Wrong('\n'.join([
        f'{archives_dir} lacks archives of {", ".join(lacking)}. Download '
        'these, and put them there:',
        *downloads.list_lines(missing, published)]))
  return {name: {file: path for file, path in found.items() if path is not None}
          for name, found in paths.items()}


def verify_published(name: str, file: str, path: str) -> None:
  """Raises `errors.Damaged` unless an archive is the published one."""
  sha256, expected = archives.hash_content(name, file, path)
  source = downloads.list_published(name)[file]
  if sha256 != (expected or source.sha256):
    raise errors.Damaged(
        f'{path} is not the published {file} of {name}: its checksum differs. '
        f'It is cut short, or another file. Get it again from {source.url}')


if __name__ == '__main__':
  cli.run(main, _FLAGS)

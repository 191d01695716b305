"""Downloads the publishers' archives with TensorFlow Datasets (TFDS)."""

import glob
import os
import shutil
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import NamedTuple

from nws_jax import errors
from nws_jax.zoo import archives


class Source(NamedTuple):
  """Where an archive is published."""
  url: str
  size: int  # bytes
  sha256: str


Table = Mapping[str, Source]  # {file: its source} of a set


class Missing(NamedTuple):
  """An archive that is needed and not there."""
  name: str  # of the set
  file: str


def import_tfds() -> ModuleType:
  """Imports tensorflow_datasets; raises `errors.Wrong` if it is missing."""
  try:
    import tensorflow_datasets as tfds
  except ImportError as e:
    raise errors.Wrong('the full image sets need tensorflow-datasets: '
                       f"pip install 'nws_jax[data]' ({e})") from e
  return tfds


def list_published(name: str) -> dict[str, Source]:
  """{file: its source} of a set's archives, according to TFDS."""
  urls = import_tfds().builder_cls(name).url_infos
  return {info.filename: Source(url, int(info.size), info.checksum)
          for url, info in urls.items()
          if info.filename in archives.FILES[name]}


def download(name: str, folder: str, published: Table | None = None
             ) -> dict[str, str]:
  """Downloads the archives of a set that are not in `folder` yet.

  Args:
    name: the set. No other process may be downloading it to the same folder,
      because partial downloads are removed before and afterwards.
    folder: where TFDS keeps downloads, each under its address and digest.
    published: the sources; None: `list_published(name)`.

  Returns:
    {file: path}

  Raises:
    errors.Damaged: an archive cannot be downloaded, or its checksum is wrong.
  """
  tfds = import_tfds()
  published = published or list_published(name)
  check_reach({name: published}, folder)
  infos = {
      source.url: tfds.core.download.checksums.UrlInfo(
          size=tfds.core.utils.Size(source.size), checksum=source.sha256,
          filename=file)
      for file, source in published.items()}
  own = os.path.join(folder, name)
  _remove_parts(own)
  manager = tfds.download.DownloadManager(
      download_dir=folder, dataset_name=name, url_infos=infos,
      force_checksums_validation=True)
  try:
    paths = manager.download({f: s.url for f, s in published.items()})
  except Exception as e:  # of TFDS, requests, urllib3 or promise
    raise errors.Damaged(
        f'download of {name} failed: {str(e).strip()}\nTry again, or download '
        f'{", ".join(s.url for s in published.values())} by other means '
        'and give their folder as --archives.') from e
  finally:
    _remove_parts(own)
  return {file: os.fspath(path) for file, path in paths.items()}


def check_reach(published: Mapping[str, Table], folder: str) -> None:
  """Checks that all archives can be reached; TFDS would retry for minutes.

  Args:
    published: {set: the sources of its archives}.
    folder: where downloads are kept; archives that are there are not checked.

  Raises:
    errors.Damaged: an archive cannot be reached; the message lists all that are
      missing.
  """
  import requests
  resource = import_tfds().core.download.resource
  missing = [
      Missing(name, file) for name, table in published.items()
      for file, source in table.items()
      if not any(os.path.exists(os.path.join(
          d, resource.get_dl_fname(source.url, source.sha256)))
                 for d in (os.path.join(folder, name), folder))]
  for name, file in missing:
    url = published[name][file].url
    try:
      with requests.get(url, stream=True, timeout=(5, 20)) as response:
        response.raise_for_status()
    except requests.RequestException as e:
      raise errors.Damaged('\n'.join([
          f'{file} of {name} cannot be downloaded from {url} '
          f'({type(e).__name__}). Download these by other means into a folder '
          'DIR, and add --archives=DIR:',
          *list_lines(missing, published)])) from e


def list_lines(missing: Iterable[Missing], published: Mapping[str, Table]
               ) -> list[str]:
  """One line for each archive: its path in a folder, and its address."""
  return [f'  {os.path.join(name, file)}  from {published[name][file].url}'
          for name, file in missing]


def _remove_parts(folder: str) -> None:
  """Removes partial downloads."""
  for path in glob.glob(os.path.join(glob.escape(folder), '*.tmp.*')):
    shutil.rmtree(path, ignore_errors=True)

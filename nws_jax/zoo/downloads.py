"""The publishers' archives, fetched and checked by TensorFlow Datasets."""

import glob
import os
import shutil

from nws_jax import errors
from nws_jax.zoo import archives


def import_tfds():
  """The module tensorflow_datasets; `errors.Wrong` where it is missing."""
  try:
    import tensorflow_datasets as tfds
  except ImportError as e:
    raise errors.Wrong('the full image sets need tensorflow-datasets: '
                       f"pip install 'nws_jax[data]' ({e})") from e
  return tfds


def list_published(name):
  """{file: (address, size, SHA-256)} of a set's archives, as TFDS has them."""
  urls = import_tfds().builder_cls(name).url_infos
  return {info.filename: (url, int(info.size), info.checksum)
          for url, info in urls.items()
          if info.filename in archives.FILES[name]}


def download(name, folder, published=None):
  """Downloads the archives of a set that are not in `folder` yet.

  Args:
    name: the set. Nobody else may be downloading it to `folder`: what is half
      done is removed, before and after.
    folder: where TFDS keeps downloads, each under its address and digest.
    published: `list_published(name)`, or another table of that form.

  Returns:
    {file: path}

  Raises:
    errors.Damaged: an archive cannot be had, or its checksum is wrong.
  """
  tfds = import_tfds()
  published = published or list_published(name)
  check_reach({name: published}, folder)
  infos = {
      url: tfds.core.download.checksums.UrlInfo(
          size=tfds.core.utils.Size(size), checksum=sha256, filename=file)
      for file, (url, size, sha256) in published.items()}
  own = os.path.join(folder, name)
  _remove_parts(own)
  manager = tfds.download.DownloadManager(
      download_dir=folder, dataset_name=name, url_infos=infos,
      force_checksums_validation=True)
  try:
    paths = manager.download({f: url for f, (url, *_) in published.items()})
  except Exception as e:  # of TFDS, requests, urllib3, promise
    raise errors.Damaged(
        f'download of {name} failed: {str(e).strip()}\nTry again, or download '
        f'{", ".join(url for url, *_ in published.values())} by other means '
        'and give their folder as --archives.') from e
  finally:
    _remove_parts(own)
  return {file: os.fspath(path) for file, path in paths.items()}


def check_reach(published, folder):
  """Fails at once where TFDS would try again for minutes.

  Args:
    published: {set: its `list_published`}.
    folder: where downloads are kept: what is there need not be had.

  Raises:
    errors.Damaged: an archive cannot be had; names all that are missing.
  """
  import requests
  resource = import_tfds().core.download.resource
  missing = [
      (name, file) for name, table in published.items()
      for file, (url, _, sha256) in table.items()
      if not any(os.path.exists(os.path.join(
          d, resource.get_dl_fname(url, sha256)))
                 for d in (os.path.join(folder, name), folder))]
  for name, file in missing:
    url = published[name][file][0]
    try:
      with requests.get(url, stream=True, timeout=(5, 20)) as response:
        response.raise_for_status()
    except requests.RequestException as e:
      raise errors.Damaged('\n'.join([
          f'{file} of {name} cannot be had from {url} ({type(e).__name__}). '
          'Download by other means into a folder DIR, and add --archives=DIR:',
          *list_lines(missing, published)])) from e


def list_lines(missing, published):
  """A line for each (set, file): its place in a folder, and where it is had."""
  return [f'  {os.path.join(name, file)}  from {published[name][file][0]}'
          for name, file in missing]


def _remove_parts(folder):
  for path in glob.glob(os.path.join(glob.escape(folder), '*.tmp.*')):
    shutil.rmtree(path, ignore_errors=True)

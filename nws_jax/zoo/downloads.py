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
  infos = {
      url: tfds.core.download.checksums.UrlInfo(
          size=tfds.core.utils.Size(size), checksum=sha256, filename=file)
      for file, (url, size, sha256) in published.items()}
  own = os.path.join(folder, name)
  _remove_parts(own)
  for file, (url, _, sha256) in published.items():
    kept = tfds.core.download.resource.get_dl_fname(url, sha256)
    if not any(os.path.exists(os.path.join(d, kept)) for d in (own, folder)):
      _probe(name, file, url)
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


def _probe(name, file, url):
  """Fails at once where TFDS would try again for minutes."""
  import requests
  try:
    with requests.get(url, stream=True, timeout=20) as response:
      response.raise_for_status()
  except requests.RequestException as e:
    raise errors.Damaged(
        f'{file} of {name} cannot be had from {url} '
        f'({type(e).__name__}). Download it by other means into a folder DIR '
        f'(or DIR/{name}) and add --archives=DIR.') from e


def _remove_parts(folder):
  for path in glob.glob(os.path.join(glob.escape(folder), '*.tmp.*')):
    shutil.rmtree(path, ignore_errors=True)

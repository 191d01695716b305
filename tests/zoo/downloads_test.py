"""Downloads, from a server on this machine that stands for the publishers."""

import contextlib
import hashlib
import http.server
import threading
import time

import numpy as np
import pytest

from nws_jax import data, errors
from nws_jax.zoo import archives, downloads, prepared


@contextlib.contextmanager
def _serve(folder):
  """Serves a folder on this machine; yields its address and the requests."""
  asked = []

  class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args):
      super().__init__(*args, directory=str(folder))

    def log_message(self, *args):
      asked.append(self.path)

  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
      yield f'http://127.0.0.1:{server.server_port}', asked
    finally:
      server.shutdown()
      thread.join()


def _describe(folder, name, address):
  table = {}
  for file in archives.FILES[name]:
    content = (folder / file).read_bytes()
    table[file] = downloads.Source(f'{address}/{file}', len(content),
                                   hashlib.sha256(content).hexdigest())
  return table


def test_download_checks_and_keeps_archives(tmp_path, publish, monkeypatch):
  monkeypatch.setenv('NO_PROXY', '127.0.0.1')
  publish('svhn_cropped', tmp_path / 'web')
  folder = str(tmp_path / 'downloads')
  with _serve(tmp_path / 'web') as (address, asked):
    table = _describe(tmp_path / 'web', 'svhn_cropped', address)
    for _ in range(2):
      paths = downloads.download('svhn_cropped', folder, table)
      for file, path in paths.items():
        with open(path, 'rb') as f:
          assert f.read() == (tmp_path / 'web' / file).read_bytes()
    assert len(asked) == 4  # each probed and fetched once

    file = 'test_32x32.mat'
    wrong = table | {file: table[file]._replace(sha256='0' * 64)}
    with pytest.raises(errors.Damaged, match='checksum') as e:
      downloads.download('svhn_cropped', folder, wrong)
    assert file in str(e.value) and '--archives' in str(e.value)
    assert not [p for p in (tmp_path / 'downloads').rglob('*.tmp.*')]


def test_without_archives_a_set_is_downloaded_and_prepared(
    tmp_path, publish, monkeypatch):
  """The whole way, its checksum included: these are the published ones here."""
  monkeypatch.setenv('NO_PROXY', '127.0.0.1')
  source = publish('cifar10', tmp_path / 'web')
  data_dir = str(tmp_path / 'data')
  left = tmp_path / 'data' / 'downloads' / 'cifar10' / 'cifar.tmp.0' / 'part'
  left.parent.mkdir(parents=True)  # of a download that was killed
  left.write_bytes(b'half')
  with _serve(tmp_path / 'web') as (address, _):
    table = _describe(tmp_path / 'web', 'cifar10', address)
    monkeypatch.setattr(downloads, 'list_published', lambda name: table)
    data.prepare(['cifar10'], data_dir=data_dir)
  np.testing.assert_array_equal(prepared.read('cifar10', data_dir)[0],
                                source[0])
  assert not left.parent.exists()


def test_an_unreachable_publisher_is_told_at_once(tmp_path, monkeypatch):
  monkeypatch.setenv('NO_PROXY', '127.0.0.1')
  start = time.monotonic()
  with _serve(tmp_path) as (address, _):
    for url in ('http://127.0.0.1:9/train.mat', f'{address}/no-such.mat'):
      with pytest.raises(errors.Damaged) as e:
        downloads.download('svhn_cropped', str(tmp_path),
                          {'train_32x32.mat': downloads.Source(
                              url, 1, '0' * 64)})
      for words in ('train_32x32.mat', url, '--archives=DIR'):
        assert words in str(e.value)
  assert time.monotonic() - start < 10


def test_all_that_is_unreachable_is_listed_before_any_work(
    tmp_path, publish, monkeypatch, capsys):
  """A set that could be had does not hide one that cannot."""
  monkeypatch.setenv('NO_PROXY', '127.0.0.1')
  publish('cifar10', tmp_path / 'web')
  with _serve(tmp_path / 'web') as (address, asked):
    tables = {'cifar10': _describe(tmp_path / 'web', 'cifar10', address)} | {
        name: {file: downloads.Source(
            f'http://127.0.0.1:9/{name}/{file}', 1, '0' * 64)
               for file in archives.FILES[name]} for name in ('mnist', 'stl10')}
    monkeypatch.setattr(downloads, 'list_published', tables.get)
    with pytest.raises(errors.Damaged) as e:
      data.prepare(tables, data_dir=str(tmp_path / 'data'))
    for name in ('mnist', 'stl10'):
      for file in archives.FILES[name]:
        assert (f'  {name}/{file}  from http://127.0.0.1:9/{name}/{file}'
                in str(e.value).splitlines())
    assert not (tmp_path / 'data').exists() and capsys.readouterr().out == ''
    assert len(asked) == 1


def test_every_archive_has_a_public_address():
  for name, files in archives.FILES.items():
    table = downloads.list_published(name)
    assert set(table) == set(files)
    for url, size, sha256 in table.values():
      assert url.startswith('http') and size > 4000 and len(sha256) == 64

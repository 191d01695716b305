import os
import pathlib
import pwd

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nws_jax
from nws_jax import errors, paths
from nws_jax.zoo import prepared

ME = pwd.getpwuid(os.getuid())


@pytest.mark.parametrize('path, meant', [
    ('runs/zoo', 'runs/zoo'), ('runs/zoo//', 'runs/zoo'), ('/', '/'),
    ('~', '/home/me'), ('~/x', '/home/me/x'), ('~/x/', '/home/me/x'),
    (f'~{ME.pw_name}/x', f'{ME.pw_dir.rstrip("/")}/x'), ('./~x', './~x'),
    ('a~', 'a~'), ('z[1]', 'z[1]'), (pathlib.Path('~/x'), '/home/me/x'),
    (b'runs/zoo', 'runs/zoo'), ('a:b', 'a:b'), ('zoo:7', 'zoo:7')])
def test_a_path_means(path, meant, monkeypatch):
  monkeypatch.setenv('HOME', '/home/me')
  assert paths.expand(path) == meant


@pytest.mark.parametrize('path, word', [
    ('', 'empty'), (' ', 'empty'), ('a\0b', 'not text'),
    (b'a\xffb', 'not text'), ('a\udcffb', 'not text'), (7, 'no path'),
    (None, 'no path'), ('~nobody_is_called_so/x', './~nobody_is_called_so/x'),
    ('gs://bucket/zoo', 'mount it'), ('s3://b', 'mount it'),
    (pathlib.Path('gs://bucket/zoo'), 'mount it'), ('file:///x', 'mount it'),
    ('hdfs:/x', 'mount it')])
def test_what_is_no_path_here_is_refused(path, word):
  with pytest.raises(errors.Wrong) as e:
    paths.expand(path, '--workdir')
  said = str(e.value)
  assert said.startswith('--workdir') and word in said and paths.is_text(said)
  with pytest.raises(errors.Wrong, match=word):
    nws_jax.open_zoo(path)


@given(st.text())
def test_an_answer_is_the_same_when_asked_again(text):
  try:
    found = paths.expand(text)
  except errors.Wrong as e:
    assert paths.is_text(str(e))
  else:
    assert paths.expand(found) == found
    os.fsencode(found)


def test_a_zoo_in_the_home_folder_is_found(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  with pytest.raises(errors.Wrong, match=f'{tmp_path}/zoo is no folder'):
    nws_jax.open_zoo('~/zoo')
  monkeypatch.setenv('TFDS_DATA_DIR', '~/sets')
  assert prepared.root() == prepared.root('~/sets') == f'{tmp_path}/sets'
  monkeypatch.setenv('TFDS_DATA_DIR', 'gs://sets')
  with pytest.raises(errors.Wrong, match='^TFDS_DATA_DIR=gs://sets'):
    prepared.root()

import os
import pathlib
import pwd
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nws_jax
from nws_jax import errors, paths, published
from nws_jax.store import snapshots, stacks
from nws_jax.zoo import prepared

ME = pwd.getpwuid(os.getuid())


@pytest.mark.parametrize('path, meant', [
    ('runs/zoo', 'runs/zoo'), ('runs/zoo//', 'runs/zoo'), ('/', '/'),
    ('~', '/home/me'), ('~/x', '/home/me/x'), ('~/x/', '/home/me/x'),
    (f'~{ME.pw_name}/x', f'{ME.pw_dir.rstrip("/")}/x'), ('./~x', './~x'),
    ('./-x', './-x'),
    ('a~', 'a~'), ('z[1]', 'z[1]'), (pathlib.Path('~/x'), '/home/me/x'),
    (b'runs/zoo', 'runs/zoo'), ('a:b', 'a:b'), ('zoo:7', 'zoo:7')])
def test_a_path_means(path, meant, monkeypatch):
  monkeypatch.setenv('HOME', '/home/me')
  assert paths.expand(path) == meant


@pytest.mark.parametrize('path, word', [
    ('', 'empty'), (' ', 'empty'), ('a\0b', 'not text'),
    (b'a\xffb', 'not text'), ('a\udcffb', 'not text'), ('a\nb', 'not text'),
    ('--plan', './--plan'), (7, 'not a path'),
    (None, 'not a path'),
    ('~nobody_is_called_so/x', './~nobody_is_called_so/x'),
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


ODD = ('z[1]', 'a*[b]', 'a\\b', '**', 'q?', 'gs:', 'sp ace', 'ünï', '%41', '#h',
       'a{b}', ';', ':', '@x', "'\"", '\t', '$HOME', ' lead', '-x', '\u0301',
       'x.orbax-checkpoint-tmp', '.hid', 'file:', '7', '~', '...')


@settings(max_examples=30, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(ODD) | st.text(
    st.sampled_from('ab1é ~!@#$%^&*()[]{}<>?|;:,.\'"`\\\n\t\u2028\U0001f600'),
    min_size=1, max_size=8).filter(lambda name: name not in ('.', '..')))
def test_weights_are_kept_under_any_name_or_it_is_refused(tmp_path, name):
  layout = published.layout(published.Architecture(1, 3, 1, 2, 8))
  own = [np.full(layout.num_weights, len(name), np.float32)]
  shutil.rmtree(tmp_path / 'zoos', ignore_errors=True)
  path = tmp_path / 'zoos' / name
  path.mkdir(parents=True)
  try:
    paths.check_saving(path, '--workdir')
  except errors.Wrong as e:
    assert set('*?[\\') & set(name) or name == 'gs:'
    assert 'is in its name' in str(e) and str(path) in str(e)
    return
  paths.check_reading(path, 'the path')
  writer, place = snapshots.Writer(), path / 'snapshots' / 'u' / '7'
  for _ in range(2):  # it may be saved again
    digests = stacks.save(writer, place, own, [layout])
    writer.wait()
  found = stacks.read(stacks.Stack(place, [0], [layout], digests, True), [0])
  np.testing.assert_array_equal(found, own)
  tree = {'a': np.arange(6.0).reshape(2, 3)}
  writer.save(path / 'state', tree)
  writer.wait()
  np.testing.assert_array_equal(
      snapshots.restore(path / 'state', tree)['a'], tree['a'])


@pytest.mark.parametrize('module, args', [
    ('zoo', ('--config=configs/zoo.py:smoke', '--workdir=z[1]')),
    ('meta', ('--target=optimizer', '--workdir=a\\b')),
    ('convert', ('--from=nws:x', '--to=zoo:a*[b]')),
    ('verify', ('--zoo=a\\b',))])
def test_commands_refuse_such_names_at_once(module, args, tmp_path):
  root = pathlib.Path(__file__).parents[1]
  args = [a.replace('configs', f'{root}/configs') for a in args]
  done = subprocess.run(
      [sys.executable, '-m', f'nws_jax.{module}', *args], cwd=tmp_path,
      env={**os.environ, 'PYTHONPATH': str(root)}, capture_output=True,
      text=True)
  assert done.returncode == 2 and 'is in its name' in done.stderr, done.stderr
  assert done.stderr.count('\n') == 1 and not list(tmp_path.iterdir())

"""`python -m nws_jax.data`: messages, exit codes, the complete sets."""

import gzip
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from nws_jax import data, errors
from nws_jax.zoo import archives, images, prepared


def _run(*args, **env):
  return subprocess.run(
      [sys.executable, '-m', 'nws_jax.data', *args], text=True,
      capture_output=True, env=os.environ | env)


def _write_mnist(folder, labels=range(10), num=2):
  """Small IDX files in the place of MNIST's; returns the training images."""
  folder.mkdir(parents=True, exist_ok=True)
  y = np.repeat(np.array(labels, np.uint8), num)
  x = np.random.default_rng(0).integers(0, 256, (len(y), 28, 28), np.uint8)
  for file in archives.FILES['mnist']:
    values = x if 'images' in file else y
    content = (bytes([0, 0, 8, values.ndim])
               + np.array(values.shape, '>u4').tobytes() + values.tobytes())
    (folder / file).write_bytes(gzip.compress(content))
  return x


@pytest.mark.parametrize('args, words', [
    ([], ['--prepare is empty', 'svhn_cropped']),
    (['--prepare=mnist,letters'], ['--prepare=letters', 'stl10']),
    (['--prepare=digits'], ['digits', 'mnist, fashion_mnist']),
    (['--prepare=mnist', '--archives=no/such'], ['no/such', 'no folder']),
    (['--prepare=mnist', '--archive=x'], ['archive']),
    (['mnist'], ["'mnist'"]),
])
def test_wrong_requests_exit_2_with_one_message(args, words, tmp_path):
  run = _run(*args, TFDS_DATA_DIR=str(tmp_path / 'data'))
  assert run.returncode == 2 and run.stdout == ''
  assert 'Traceback' not in run.stderr
  assert all(w in run.stderr for w in words), run.stderr
  assert not (tmp_path / 'data').exists()


def test_help_is_quick():
  run = _run('--help')
  assert run.returncode == 0 and '--archives' in run.stdout
  code = 'import sys, nws_jax.data; print(sorted(sys.modules))'
  modules = subprocess.run([sys.executable, '-c', code], text=True,
                           capture_output=True, check=True).stdout
  assert not any(f"'{m}'" in modules for m in (
      'tensorflow_datasets', 'scipy', 'PIL', 'requests', 'jax'))


@pytest.mark.parametrize('name', prepared.VERSIONS)
def test_missing_archives_are_listed_before_any_work(name, tmp_path, capsys):
  _write_mnist(tmp_path / 'archives' / 'mnist')
  with pytest.raises(errors.Wrong) as e:
    data.prepare(['mnist', name] if name != 'mnist' else ['fashion_mnist'],
                 str(tmp_path / 'archives'), str(tmp_path / 'data'))
  for file in archives.FILES['fashion_mnist' if name == 'mnist' else name]:
    assert file in str(e.value)
  assert 'http' in str(e.value) and str(tmp_path / 'archives') in str(e.value)
  assert not (tmp_path / 'data').exists()
  assert capsys.readouterr().out == ''


def test_another_archive_is_refused_by_its_checksum(tmp_path):
  """The command has no way round it: only a caller of the function does."""
  _write_mnist(tmp_path)
  run = _run('--prepare=mnist', f'--archives={tmp_path}',
             f'--data_dir={tmp_path / "data"}')
  assert run.returncode == 1 and 'Traceback' not in run.stderr
  file = archives.FILES['mnist'][0]
  assert f'{tmp_path / file} is not the published {file} of mnist' in run.stderr
  assert 'https://' in run.stderr
  assert os.listdir(tmp_path / 'data' / 'mnist') == []
  for file in ('train_32x32.mat', 'test_32x32.mat'):
    (tmp_path / file).write_bytes(b'not published')
  run = _run('--prepare=svhn_cropped', f'--archives={tmp_path}',
             f'--data_dir={tmp_path / "data"}')
  assert run.returncode == 1 and 'train_32x32.mat' in run.stderr


def test_prepared_sets_are_skipped_and_wrong_ones_stop(tmp_path, capsys):
  """A folder of a set's own name goes before the common one."""
  own = _write_mnist(tmp_path / 'mnist')
  _write_mnist(tmp_path, labels=[*range(9), 0])  # no nines
  data_dir = str(tmp_path / 'data')
  seen = []

  def verify(name, file, path):
    seen.append((name, file))

  for _ in range(2):
    data.prepare(['mnist', 'mnist'], str(tmp_path), data_dir, verify)
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == 2
  assert 'mnist: 20 training and 20 test images prepared in' in lines[0]
  assert lines[1].startswith('mnist: already prepared in ')
  assert seen == [('mnist', f) for f in archives.FILES['mnist']]
  np.testing.assert_array_equal(prepared.read('mnist', data_dir)[0][..., 0],
                                own)
  with pytest.raises(errors.Damaged, match='no images of class 9'):
    data.prepare(['mnist', 'fashion_mnist'], str(tmp_path), data_dir, verify)
  assert os.listdir(tmp_path / 'data' / 'fashion_mnist') == []
  assert prepared.exists('mnist', data_dir)


def test_an_unusable_data_dir_is_refused(tmp_path):
  _write_mnist(tmp_path)
  (tmp_path / 'file').write_text('in the way')
  with pytest.raises(errors.Wrong, match='--data_dir'):
    data.prepare(['mnist'], str(tmp_path), str(tmp_path / 'file'),
                 lambda *_: None)


@pytest.mark.soak
def test_complete_mnist_and_fashion_mnist(tmp_path):
  """All 140,000 images, from the archives that an environment variable names.

  Under a minute. NWS_JAX_ARCHIVES=DIR, with DIR/mnist and DIR/fashion_mnist.
  """
  folder = os.environ.get('NWS_JAX_ARCHIVES')
  if not folder:
    pytest.skip('NWS_JAX_ARCHIVES names no folder with mnist/, fashion_mnist/')
  names = ['mnist', 'fashion_mnist']
  run = _run(f'--prepare={",".join(names)}', f'--archives={folder}',
             f'--data_dir={tmp_path}')
  assert run.returncode == 0, run.stderr
  for name in names:
    arrays = prepared.read(name, str(tmp_path))
    for x, sha256 in zip(arrays, archives._CONTENT[name]):
      shape = x.shape[:3]  # the IDX file anew, from what was read back
      header = bytes([0, 0, 8, len(shape)]) + np.array(shape, '>u4').tobytes()
      assert hashlib.sha256(header + x.tobytes()).hexdigest() == sha256
    seen = images.load(name, 'tfds', str(tmp_path))
    assert seen.train_images.shape == (55000, 32, 32, 3)
    assert seen.test_images.shape == (10000, 32, 32, 3)
    np.testing.assert_array_equal(seen.train_labels, arrays[1][5000:])
  # What TensorFlow's old reader, which sets 5,000 aside, began with.
  assert images.load('mnist', 'tfds', str(tmp_path)).train_labels[
      :10].tolist() == [7, 3, 4, 6, 1, 8, 1, 0, 9, 8]


@pytest.mark.soak
@pytest.mark.parametrize('name', ('mnist', 'fashion_mnist'))
def test_embedded_sets_rebuild_from_the_complete_ones(name):
  from nws_jax.zoo.embedded import build
  folder = os.environ.get('NWS_JAX_ARCHIVES')
  if not folder:
    pytest.skip('NWS_JAX_ARCHIVES names no folder with mnist/, fashion_mnist/')
  arrays = build.cut_idx(os.path.join(folder, name))
  assert build.digest(arrays) == build.DIGESTS[name]

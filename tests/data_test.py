"""`python -m nws_jax.data`: messages, exit codes, the complete sets."""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from nws_jax import data, errors
from nws_jax.zoo import archives, images, prepared


def _run(*args, timeout=None, **env):
  return subprocess.run(
      [sys.executable, '-m', 'nws_jax.data', *args], text=True,
      capture_output=True, env=os.environ | env, timeout=timeout)


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
    (['--prepare=mnist', '--archives=no/such'], ['no/such', 'not a folder']),
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


def test_what_several_sets_lack_is_listed_at_once(tmp_path):
  _write_mnist(tmp_path)
  (tmp_path / archives.FILES['mnist'][1]).unlink()
  (tmp_path / 'train_32x32.mat').touch()
  run = _run('--prepare=stl10,mnist,svhn_cropped', f'--archives={tmp_path}',
             f'--data_dir={tmp_path / "data"}')
  assert run.returncode == 2 and 'Traceback' not in run.stderr
  head, *lines = run.stderr.splitlines()
  assert head.endswith('lacks archives of stl10, mnist, svhn_cropped. Download '
                       'these, and put them there:')
  assert [line.split()[:2] for line in lines] == [
      ['stl10/stl10_binary.tar.gz', 'from'],
      [f'mnist/{archives.FILES["mnist"][1]}', 'from'],
      ['svhn_cropped/test_32x32.mat', 'from']]
  assert not (tmp_path / 'data').exists()


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
  assert not (tmp_path / 'data').exists()
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
  assert os.listdir(tmp_path / 'data') == ['mnist']
  assert prepared.exists('mnist', data_dir)


def test_an_unusable_data_dir_is_refused(tmp_path):
  _write_mnist(tmp_path)
  (tmp_path / 'file').write_text('in the way')
  for place in ('file', 'file/below'):
    with pytest.raises(errors.Wrong, match='cannot be used: .*another folder'):
      data.prepare(['mnist'], str(tmp_path), str(tmp_path / place),
                   lambda *_: None)
  run = _run('--prepare=mnist', f'--archives={tmp_path}',
             '--data_dir=/proc/none')  # nobody can make it
  assert run.returncode == 2
  assert '/proc/none/mnist/3.0.1 cannot be used' in run.stderr
  assert run.stderr.count('\n') == 1


@pytest.mark.parametrize('make', [
    lambda path: path.write_text('a file'), lambda path: path.mkdir(),
    lambda path: path.symlink_to('nowhere')])
def test_what_else_has_the_name_of_a_set_is_left_alone(make, tmp_path):
  _write_mnist(tmp_path)
  path = tmp_path / 'data' / 'mnist' / '3.0.1'
  path.parent.mkdir(parents=True)
  make(path)
  run = _run('--prepare=mnist', f'--archives={tmp_path}',
             f'--data_dir={tmp_path / "data"}')
  assert run.returncode == 1 and run.stderr.count('\n') == 1
  assert f'{path} is no whole prepared set' in run.stderr
  assert 'remove it' in run.stderr
  assert [p.name for p in path.parent.iterdir()] == ['3.0.1']


@pytest.mark.parametrize('cut', (0, 20, -9))
def test_a_cut_archive_is_named(cut, tmp_path):
  _write_mnist(tmp_path)
  path = tmp_path / archives.FILES['mnist'][0]
  path.write_bytes(path.read_bytes()[:cut])
  run = _run('--prepare=mnist', f'--archives={tmp_path}',
             f'--data_dir={tmp_path / "data"}')
  assert run.returncode == 1 and run.stderr.count('\n') == 1, run.stderr
  assert str(path) in run.stderr and 'cut short' in run.stderr
  assert not list((tmp_path / 'data').rglob('*3.0.1*'))


@pytest.mark.soak
def test_a_full_disk_stops_with_a_message_and_the_command_goes_on(tmp_path):
  """On a disk of 2 MB; skipped where none can be mounted."""
  _write_mnist(tmp_path / 'mnist')
  _write_mnist(tmp_path / 'fashion_mnist', num=200)  # 1.6 MB each part
  disk = tmp_path / 'disk'
  disk.mkdir()
  if not shutil.which('mount') or subprocess.run(
      ['mount', '-t', 'tmpfs', '-o', 'size=2m', 'none', str(disk)],
      capture_output=True).returncode:
    pytest.skip('no disk can be mounted here')
  try:
    def prepare():
      data.prepare(['mnist', 'fashion_mnist'], str(tmp_path), str(disk),
                   lambda *_: None)
    with pytest.raises(errors.Damaged, match='Make room') as e:
      prepare()
    assert 'fashion_mnist' in str(e.value) and 'No space left' in str(e.value)
    assert prepared.exists('mnist', str(disk))
    assert os.listdir(disk / 'fashion_mnist') == []
    subprocess.run(['mount', '-o', 'remount,size=40m', str(disk)], check=True)
    prepare()
    assert len(prepared.read('fashion_mnist', str(disk))[1]) == 2000
  finally:
    subprocess.run(['umount', str(disk)], check=True)


@pytest.mark.soak
def test_complete_mnist_and_fashion_mnist(tmp_path):
  """All 140,000 images, from the archives that an environment variable names.

  Killed three times before. NWS_JAX_ARCHIVES=DIR, with DIR/mnist and
  DIR/fashion_mnist.
  """
  folder = os.environ.get('NWS_JAX_ARCHIVES')
  if not folder:
    pytest.skip('NWS_JAX_ARCHIVES names no folder with mnist/, fashion_mnist/')
  names = ['mnist', 'fashion_mnist']
  args = (f'--prepare={",".join(names)}', f'--archives={folder}',
          f'--data_dir={tmp_path}')
  for seconds in np.random.default_rng(0).uniform(2, 20, 3):
    with pytest.raises(subprocess.TimeoutExpired):  # by SIGKILL
      _run(*args, timeout=seconds)
    assert not prepared.exists('fashion_mnist', str(tmp_path))
  run = _run(*args)
  assert run.returncode == 0, run.stderr
  assert not list(tmp_path.rglob('incomplete*'))
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

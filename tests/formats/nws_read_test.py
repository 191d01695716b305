import os
import shutil
import tracemalloc

import numpy as np
import pytest

from nws_jax import errors, layout, published
from nws_jax.formats import nws_read


def test_runs_are_those_published(publish, tmp_path):
  networks = publish(tmp_path)
  runs = nws_read.list_runs(str(tmp_path))
  assert [r.path for r in runs] == [str(n['folder']) for n in networks]
  for run, network in zip(runs, networks):
    assert run.side == network['side']
    words = dict(svhn='svhn_cropped', fashion='fashion_mnist', mnist='mnist')
    assert run.row['dataset'] == words[network['values'][0]]
    assert run.row['learning_rate'] == network['values'][1]
    assert run.row['optimizer'] == published.BY_NAME['optimizer'].choices[
        network['values'][5]]
    assert nws_read.find_layout(run) == published.layout(
        published.Architecture(*network['values'][8:]))
    assert len(run.snapshots) == len(network['weights']) == 4
    for n, vector_P in enumerate(network['weights'], 1):
      found = nws_read.read_vector(run, n)
      assert found.dtype == np.float32
      np.testing.assert_array_equal(found, vector_P)
  assert len({r.row['learning_rate'] for r in runs}) == len(runs)


def test_figures_of_a_long_run(publish, tmp_path):
  network, = publish(tmp_path, ('test',), evaluations=50)
  run, = nws_read.list_runs(str(tmp_path))
  rows = nws_read.read_figures(run)
  assert [r['epoch'] for r in rows] == list(range(50))
  kept = [r['epoch'] for r in rows if r['snapshot'] is not None]
  assert kept == np.round(np.linspace(0, 49, 20)).astype(int).tolist()
  assert [r['snapshot'] for r in rows if r['snapshot']] == list(range(1, 21))
  for row, error in zip(rows, network['error']):
    assert row['step'] == error[0]
    np.testing.assert_allclose(
        [row[f'{s}_accuracy'] for s in ('train', 'valid', 'test')],
        1 - error[1:4] / 100, rtol=1e-6)


def test_other_lengths_are_vectors_alone(publish, tmp_path):
  publish(tmp_path, ('test',))
  table = tmp_path / 'nws_main_test.csv'
  text = table.read_text()
  table.write_text(text.replace(',48,732,', ',50,730,'))
  run, = nws_read.list_runs(str(tmp_path))
  assert nws_read.find_layout(run) == layout.flat(50, 780)
  table.write_text(text.replace(',1,3,1,1,8,', ',2,9,1,1,8,'))
  run, = nws_read.list_runs(str(tmp_path))
  assert nws_read.find_layout(run) == layout.flat(48, 780)


@pytest.mark.parametrize('path, found', [
    ('/mnt/raid/runs/0002', 'runs/0002'), ('runs/0002', 'runs/0002'),
    ('./runs//0002/', 'runs/0002'), (r'C:\data\runs\0002', 'runs/0002'),
    ('/runs/0002', 'runs/0002'), ('/mnt/fixed/0002', '0002'),
    ('/mnt/0003', None), ('/', None), ('', None), ('/mnt/runs/0003', None),
    ('/mnt/runs/\0', None)])
def test_the_end_of_a_path_is_found(tmp_path, path, found):
  (tmp_path / 'runs' / '0002').mkdir(parents=True)
  (tmp_path / '0002').mkdir()
  if found:
    assert nws_read.find(str(tmp_path), path, 'x.csv, line 2') == str(
        tmp_path / found)
  else:
    with pytest.raises(errors.Damaged, match='x.csv, line 2: no folder'):
      nws_read.find(str(tmp_path), path, 'x.csv, line 2')


@pytest.mark.parametrize('path', (
    '../secret', 'runs/../../secret', '/a/../runs/0002', '..',
    r'..\secret'))
def test_a_path_that_leads_upwards_is_refused(tmp_path, path):
  (tmp_path / 'zoo' / 'runs' / '0002').mkdir(parents=True)
  (tmp_path / 'secret').mkdir()
  with pytest.raises(errors.Damaged, match='leads upwards'):
    nws_read.find(str(tmp_path / 'zoo'), path, 'line 2')


@pytest.mark.parametrize('link', ('runs', 'runs/0001', 'runs/0001/weights',
                                  'runs/0001/weights/002.bin',
                                  'runs/0001/stat.bin'))
def test_links_are_refused(publish, tmp_path, link):
  publish(tmp_path / 'data')
  shutil.move(tmp_path / 'data' / link, tmp_path / 'elsewhere')
  os.symlink(tmp_path / 'elsewhere', tmp_path / 'data' / link)
  with pytest.raises(errors.Damaged, match=f'{link}.* link'):
    nws_read.list_runs(str(tmp_path / 'data'))
  # The folder itself is what the user named: it may be one.
  os.remove(tmp_path / 'data' / link)
  shutil.move(tmp_path / 'elsewhere', tmp_path / 'data' / link)
  os.symlink(tmp_path / 'data', tmp_path / 'name')
  assert len(nws_read.list_runs(str(tmp_path / 'name'))) == 8


@pytest.mark.parametrize('name, size, said', [
    ('weights/003.bin', None, 'it is missing'),
    ('weights/004.bin', None, 'it is missing'),
    ('weights/002.bin', 780 * 8 - 8, 'has 6232 bytes, not 6240'),
    ('weights/001.bin', 0, 'has 0 bytes'),
    ('error.bin', None, 'it is missing'),
    ('error.bin', 3 * 40, 'has 120 bytes, not 160'),
    ('stat.bin', None, 'it is missing'),
    ('stat.bin', 31, 'has 31 bytes, not 32')])
def test_a_missing_or_short_file_is_named(publish, tmp_path, name, size, said):
  publish(tmp_path)
  path = tmp_path / 'runs' / '0005' / name
  data = path.read_bytes()
  path.unlink()
  if size is not None:
    path.write_bytes(data[:size])
  with pytest.raises(errors.Damaged, match=f'0005/{name} is damaged: .*{said}'):
    nws_read.list_runs(str(tmp_path))


@pytest.mark.parametrize('stat', (
    [0, 0, 0, 0], [np.nan, 0, 0, 0], [3.5, 0, 0, 0], [4, -1, 0, 0],
    [4, np.inf, 0, 0], [1e300, 0, 0, 0]))
def test_impossible_counts_are_damaged(publish, tmp_path, stat):
  networks = publish(tmp_path)
  np.array(stat, 'float64').tofile(networks[3]['folder'] / 'stat.bin')
  with pytest.raises(errors.Damaged, match='0004/stat.bin'):
    nws_read.list_runs(str(tmp_path))


@pytest.mark.parametrize('step', (-1, np.nan, np.inf, 1e300, 0.5))
def test_impossible_steps_are_damaged(publish, tmp_path, step):
  """Before anything is written, and without a warning."""
  networks = publish(tmp_path)
  error_Tx5 = networks[3]['error']
  error_Tx5[2] = step, 1e300, -1e300, np.nan, np.inf
  error_Tx5.tofile(networks[3]['folder'] / 'error.bin')
  with pytest.raises(errors.Damaged, match='0004/error.bin.*whole number'):
    nws_read.list_runs(str(tmp_path))
  error_Tx5[2, 0] = 224
  error_Tx5.tofile(networks[3]['folder'] / 'error.bin')
  figures = nws_read.read_figures(nws_read.list_runs(str(tmp_path))[3])[2]
  assert figures['train_accuracy'] == -np.inf


@pytest.mark.parametrize('old, new, said', [
    ('mnist,', 'pascal,', "line 4.*dataset is 'pascal'"),
    (',path', ',folder', 'no column path'),
    (',lrate', ',rate', 'no column lrate'),
    ('mnist,', 'mnist,1,', 'line 4 does not have 16 values'),
    (',48,732,', ',-1,781,', 'line 2.*weightn_conv'),
    (',48,732,', ',x,732,', 'line 2'),
    ('0003\n', '0001\n', 'line 4.*0001 is named a second time'),
    ('0003\n', '0009\n', 'line 4: no folder')])
def test_a_wrong_table_is_named(publish, tmp_path, old, new, said):
  publish(tmp_path)
  table = tmp_path / 'nws_main_train.csv'
  text = table.read_text()
  assert old in text
  table.write_text(text.replace(old, new, 1))
  with pytest.raises(errors.Damaged, match=said):
    nws_read.list_runs(str(tmp_path))


@pytest.mark.parametrize('make', (
    lambda path: os.symlink(path.rename(path.parent / 'elsewhere'), path),
    lambda path: (path.unlink(), path.mkdir()),
    lambda path: (path.unlink(), os.mkfifo(path))))
def test_a_table_that_is_no_file_is_refused(publish, tmp_path, make):
  publish(tmp_path)
  make(tmp_path / 'nws_main_test.csv')
  with pytest.raises(errors.Damaged, match='main_test.csv .* link or no file'):
    nws_read.list_runs(str(tmp_path))


def test_no_table_makes_anything_large(publish, tmp_path):
  """Whatever counts it names: sizes on the disk are compared first."""
  publish(tmp_path)
  table = tmp_path / 'nws_main_train.csv'
  text = table.read_text()
  tracemalloc.start()
  for many in (2 ** 31 - 49, 2 ** 62, '9' * 5000):
    table.write_text(text.replace(',48,732,', f',48,{many},', 1))
    with pytest.raises(errors.Damaged, match='line 2|0001.*bytes, not'):
      nws_read.list_runs(str(tmp_path))
  stat = tmp_path / 'runs' / '0001' / 'stat.bin'
  table.write_text(text)
  np.array([2 ** 31 - 1, 0, 0, 0], 'float64').tofile(stat)
  with pytest.raises(errors.Damaged, match='0001/error.bin .* bytes, not 8589'):
    nws_read.list_runs(str(tmp_path))
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 10 ** 6


def test_a_table_of_no_text_is_damaged(publish, tmp_path):
  publish(tmp_path)
  (tmp_path / 'nws_main_test.csv').write_bytes(b'\xff\xfe\x00')
  with pytest.raises(errors.Damaged, match='nws_main_test.csv is damaged'):
    nws_read.list_runs(str(tmp_path))


def test_only_tables_of_a_side_are_read(publish, tmp_path):
  publish(tmp_path)
  (tmp_path / 'notes.csv').write_text('hello')
  assert nws_read.list_tables(str(tmp_path)) == [
      'nws_main_test.csv', 'nws_main_train.csv']
  with pytest.raises(errors.Wrong, match='holds no table'):
    nws_read.list_tables(str(tmp_path / 'runs'))
  with pytest.raises(errors.Wrong, match='no folder'):
    nws_read.list_tables(str(tmp_path / 'none'))

"""A tiny real zoo to the published format and back; and misuse."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest

import nws_jax
from nws_jax import convert, errors, verify
from nws_jax import published as population
from nws_jax.formats import nws
from nws_jax.store import folder, tables
from nws_jax.zoo import driver, recipe

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECIPE = recipe.Recipe(
    seed=0, networks=8, replicates=2, sampling='independent', epochs=22,
    dataset_source='embedded', data_dir='', lr_decay=0.96, early_stopping=1,
    eval_bn='running', precision='float32', test_part=50,
    networks_per_program=8,
    keep=0, eval_augmentation=False, disk_gb=0.0, compile_ahead=True,
    merge=True, choices=tuple({
        'dataset': ('digits',), 'learning_rate': (0.0005, 0.005),
        'batch_size': (256,), 'batch_norm': (True,),
        'augmentation': (False, True), 'optimizer': ('adam', 'momentum'),
        'activation': ('relu', 'tanh'),
        'initialization': ('glorot_uniform', 'constant'),
        'filter_size': (1,), 'depth_conv': (3,), 'depth_fc': (1,),
        'width_conv': (1,), 'width_fc': (8,), 'weight_decay': (0.0,),
        'dropout': (0.5,)}.items()))
# What comes back of members.csv; beside the properties.
HELD = ['id', 'setting', 'replicate', 'split', 'fold', 'architecture',
        'evaluations', 'last_step', 'seconds', 'num_weights',
        'num_weights_conv', 'train_accuracy', 'valid_accuracy',
        'test_accuracy', *(p.name for p in population.ALL)]


class Silent:
  start = note = advance = skip = lambda *args: None


@pytest.fixture(scope='module')
def zoo(tmp_path_factory):
  """Eight networks, stopped at different epochs."""
  path = str(tmp_path_factory.mktemp('convert') / 'zoo')
  assert driver.run(RECIPE, path, Silent)
  return nws_jax.open_zoo(path)


@pytest.fixture(scope='module')
def published(zoo, tmp_path_factory):
  out = tmp_path_factory.mktemp('convert') / 'nws'
  convert.to_nws(zoo.path, str(out))
  return out


def tree(root):
  return {str(p.relative_to(root)): p.read_bytes()
          for p in sorted(pathlib.Path(root).rglob('*')) if p.is_file()}


def read_published(table, snapshots):
  """The published reader, from its description (docs/recipe.md, 10 to 15).

  Returns:
    vectors, table and [training, test] errors, one a network and snapshot.
  """
  data = pd.read_csv(table)
  vectors, found = [], []
  for row in data.to_dict('records'):
    error = np.fromfile(row['path'] + '/error.bin').reshape(-1, 5)
    evaluations = np.fromfile(row['path'] + '/stat.bin')[0]
    assert len(error) == evaluations
    error = error[np.round(np.linspace(0, evaluations - 1, 20)).astype(int)]
    for number in snapshots:
      x = np.fromfile(f'{row["path"]}/weights/{number:03d}.bin', 'double')
      assert len(x) == row['weightn_conv'] + row['weightn_fc']
      vectors.append(x)
      found.append(error[number - 1, [1, 3]])
  return vectors, data, np.array(found)


def test_the_published_reader_accepts_it(zoo, published):
  members, metrics = zoo.members.set_index('id'), zoo.metrics
  assert members['evaluations'].nunique() > 1  # stopped at different epochs
  assert members['evaluations'].min() >= 20 < members['evaluations'].max()
  seen = []
  for side in nws.SIDES:
    vectors, data, found = read_published(
        published / f'nws_{side}.csv', range(1, 21))
    assert ','.join(data) == (
        'dataset,lrate,batch_size,batch_norm,augmentation,optimizer,activation,'
        'initialization,filter_size,depth_conv,depth_fc,width_conv,width_fc,'
        'weightn_conv,weightn_fc,path')
    assert data['augmentation'].dtype == bool or not len(data)
    place = 0
    for row in data.to_dict('records'):
      id = int(os.path.basename(row['path']))
      seen.append((id, side))
      member = members.loc[id]
      figures = metrics[metrics['id'] == id].to_dict('records')
      assert row['lrate'] == member['learning_rate']
      assert row['dataset'] == 'digits'
      assert population.BY_NAME['optimizer'].choices[
          row['optimizer']] == member['optimizer']
      assert row['weightn_conv'] == member['num_weights_conv']
      at = np.round(np.linspace(1, len(figures), 20)).astype(int) - 1
      for epoch in at:
        np.testing.assert_array_equal(vectors[place], zoo.vector(id, epoch))
        np.testing.assert_allclose(found[place], [
            100 * (1 - figures[epoch][f'{s}_accuracy'])
            for s in ('train', 'test')], rtol=1e-12)
        place += 1
  assert sorted(seen) == list(zip(members.index, members['split']))


def test_there_and_back_is_the_same(zoo, published, tmp_path, capsys):
  # The folder may move: paths in the tables are found by their ends.
  moved = shutil.copytree(published, tmp_path / 'moved')
  convert.from_nws(str(moved), str(tmp_path / 'back'), stack_bytes=10_000)
  assert '8 networks, 160 snapshots' in capsys.readouterr().out
  back = nws_jax.open_zoo(tmp_path / 'back')
  for name in HELD:
    assert back.members[name].equals(zoo.members[name]), name
  figures = ['id', 'epoch', 'step', 'train_accuracy', 'valid_accuracy',
             'test_accuracy']
  assert back.metrics[figures].equals(zoo.metrics[figures])
  assert back.members['unit'].nunique() > 2
  for member in zoo.members.to_dict('records'):
    id, count = member['id'], member['evaluations']
    epochs = np.round(np.linspace(0, count - 1, 20)).astype(int)
    assert back.epochs(id) == tuple(epochs)
    np.testing.assert_array_equal(
        back.vectors([id], epochs), zoo.vectors([id], epochs))
    assert back.architecture(id) == zoo.architecture(id)
  last = back.variables(3, zoo.epochs(3)[-1])
  kernel = zoo.variables(3, zoo.epochs(3)[-1])['params']['conv2_1']['kernel']
  np.testing.assert_array_equal(last['params']['conv2_1']['kernel'], kernel)
  with pytest.raises(errors.Wrong, match='converted from another format'):
    back.images('digits', 'test')
  verify.verify(back)
  said = capsys.readouterr().out
  assert '160 vectors' in said and 'not checked' in said
  # And there again: the same files, but for the folder in the tables.
  convert.to_nws(str(tmp_path / 'back'), str(tmp_path / 'again'))
  first, second = tree(published), tree(tmp_path / 'again')
  assert first.keys() == second.keys()
  for name in first:
    if name.endswith('error.bin'):
      np.testing.assert_allclose(
          np.frombuffer(first[name]), np.frombuffer(second[name]), rtol=1e-12)
    elif '.csv' not in name and name not in ('nws.json',):
      assert first[name] == second[name] or name.endswith('stat.bin'), name


def test_unconverged_networks_are_left_out(zoo, tmp_path, capsys):
  middle = float(zoo.members['test_accuracy'].median())
  few = zoo.members[zoo.members['test_accuracy'] >= middle]
  assert 0 < len(few) < 8
  convert.to_nws(zoo.path, str(tmp_path / 'nws'), middle)
  said = capsys.readouterr().out
  assert f'left out {8 - len(few)} of 8 networks' in said
  assert re.search('not all published choices: .*batch_size|dataset', said)
  folders = sorted(p.name for p in (tmp_path / 'nws').iterdir() if p.is_dir())
  assert folders == [f'{id:05d}' for id in few['id']]
  convert.from_nws(str(tmp_path / 'nws'), str(tmp_path / 'zoo'))
  back = nws_jax.open_zoo(tmp_path / 'zoo')
  assert back.members['learning_rate'].tolist() == (
      few['learning_rate'].tolist())
  with pytest.raises(errors.Wrong, match='leaves out all 8'):
    convert.to_nws(zoo.path, str(tmp_path / 'none'), 1.0)
  assert not (tmp_path / 'none').exists()


@pytest.mark.parametrize('after', (0, 3, 100))
def test_a_killed_conversion_goes_on(zoo, published, tmp_path, monkeypatch,
                                     after):
  write, left = nws._write, [after]
  def fail(path, data):
    if not left[0]:
      raise KeyboardInterrupt
    left[0] -= 1
    write(path, data)
  monkeypatch.setattr(nws, '_write', fail)
  out = str(tmp_path / 'nws')
  with pytest.raises(KeyboardInterrupt):
    convert.to_nws(zoo.path, out)
  assert not os.path.exists(os.path.join(out, 'nws_train.csv'))
  done = [n for n in os.listdir(out) if n.isdigit()]
  assert len(done) == after // 23
  times = {n: os.stat(os.path.join(out, n)).st_mtime_ns for n in done}
  monkeypatch.setattr(nws, '_write', write)
  convert.to_nws(zoo.path, out)
  assert times == {n: os.stat(os.path.join(out, n)).st_mtime_ns for n in done}
  first, second = tree(published), tree(out)
  assert {k: v for k, v in first.items() if '/' in k or k == 'nws.json'} == {
      k: v for k, v in second.items() if '/' in k or k == 'nws.json'}


def test_a_killed_opening_goes_on(published, tmp_path, monkeypatch):
  from nws_jax.formats import nws_zoo
  write, units = nws_zoo.write_unit, []
  def fail(zoo, unit, *args):
    units.append(unit.name)
    if len(units) == 3:
      raise KeyboardInterrupt
    write(zoo, unit, *args)
  monkeypatch.setattr(nws_zoo, 'write_unit', fail)
  out = str(tmp_path / 'zoo')
  with pytest.raises(KeyboardInterrupt):
    convert.from_nws(str(published), out, 10_000)
  convert.from_nws(str(published), out, 10_000)
  assert len(units) == len(set(units)) + 1  # the third was begun twice
  convert.from_nws(str(published), str(tmp_path / 'whole'), 10_000)
  assert (nws_jax.open_zoo(out).digest
          == nws_jax.open_zoo(tmp_path / 'whole').digest)
  with pytest.raises(errors.Wrong, match='holds something else'):
    convert.from_nws(str(published), out, 20_000)


@pytest.mark.parametrize('way', ('there', 'back'))
def test_equal_conversions_at_once_wait_for_each_other(
    zoo, published, tmp_path, capsys, way):
  begun, failed = threading.Barrier(3), []

  def run():
    begun.wait()
    try:
      if way == 'there':
        convert.to_nws(zoo.path, str(tmp_path / 'out'))
      else:
        convert.from_nws(str(published), str(tmp_path / 'out'))
    except errors.Wrong as e:
      failed.append(str(e))
  threads = [threading.Thread(target=run) for _ in range(3)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert not failed
  assert 'waiting for process' in capsys.readouterr().err
  if way == 'there':
    wanted = tree(published)
    assert tree(tmp_path / 'out') == {
        k: v.replace(str(published).encode(), str(tmp_path / 'out').encode())
        for k, v in wanted.items()}
  else:
    found = nws_jax.open_zoo(str(tmp_path / 'out'))
    assert found.verify() and len(found.members) == len(zoo.members)


def test_an_opened_zoo_whose_records_disagree_is_left_alone(
    published, tmp_path):
  out = tmp_path / 'zoo'
  convert.from_nws(str(published), str(out))
  digest = nws_jax.open_zoo(out).digest
  unit = folder.units(out)[0]
  shutil.copytree(out / 'units' / unit, out / 'units' / 'foreign-s23-000')
  shutil.rmtree(out / 'snapshots' / unit)
  for said in ('foreign-s23-000 is no unit', f'{unit}/1 is damaged: it is mis'):
    before = tree(out)
    with pytest.raises(errors.Damaged, match=said):
      convert.from_nws(str(published), str(out))
    assert tree(out) == before
    if 'foreign' in said:
      with pytest.raises(errors.Damaged, match=said):
        nws_jax.open_zoo(out)
      shutil.rmtree(out / 'units' / 'foreign-s23-000')
  shutil.rmtree(out / 'units' / unit)  # as the message advises
  convert.from_nws(str(published), str(out))
  assert nws_jax.open_zoo(out).digest == digest
  nws_jax.open_zoo(out).verify()


def test_damaged_data_leave_no_zoo(published, tmp_path):
  copy = shutil.copytree(published, tmp_path / 'nws')
  (copy / '00002' / 'weights' / '020.bin').unlink()
  with pytest.raises(errors.Damaged, match='00002/weights/020.bin.*missing'):
    convert.from_nws(str(copy), str(tmp_path / 'zoo'))
  assert not (tmp_path / 'zoo').exists()


def test_folders_of_others_are_left_alone(zoo, published, tmp_path):
  (tmp_path / 'thesis.tex').write_text('x')
  for go in (lambda: convert.to_nws(zoo.path, str(tmp_path)),
             lambda: convert.from_nws(str(published), str(tmp_path)),
             lambda: convert.to_nws(zoo.path, str(tmp_path / 'thesis.tex'))):
    with pytest.raises(errors.Wrong, match='thesis.tex'):
      go()
  assert os.listdir(tmp_path) == ['thesis.tex']
  before = tree(published)
  with pytest.raises(errors.Wrong, match='holds something else'):
    convert.to_nws(zoo.path, str(published), 0.01)
  with pytest.raises(errors.Wrong, match='is not empty|holds something else'):
    convert.from_nws(str(published), zoo.path)
  assert tree(published) == before and zoo.verify() > 0


def test_a_zoo_that_kept_other_epochs_is_refused(zoo, tmp_path):
  with pytest.raises(errors.Wrong, match='network 3 .* epoch 2, but .* 0, 1.$'):
    convert._pick_epochs(
        type('Zoo', (), {'epochs': lambda self, id: (0, 1)})(), 3,
        [{'epoch': e} for e in range(3)])


def test_a_full_disk_is_told_before(zoo, tmp_path, monkeypatch):
  full = shutil.disk_usage(tmp_path)._replace(free=1)
  monkeypatch.setattr(shutil, 'disk_usage', lambda path: full)
  with pytest.raises(errors.Damaged, match='has no room'):
    convert.to_nws(zoo.path, str(tmp_path / 'nws'))
  assert tables.read_json(str(tmp_path / 'nws' / 'nws.json'))


# Of the writes that Orbax had begun when its disk was full.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
@pytest.mark.soak
@pytest.mark.parametrize('way', ('there', 'back'))
def test_a_disk_that_fills_up_is_told_and_it_goes_on(
    zoo, published, tmp_path, monkeypatch, capsys, way):
  """On a real one, whose room was thought to suffice; half is written."""
  disk = tmp_path / 'disk'
  disk.mkdir()
  def mount(option, *names):
    return subprocess.run(['mount', '-t', 'tmpfs', '-o', option, *names,
                           str(disk)], capture_output=True).returncode
  if not shutil.which('mount') or mount('size=6m', 'none'):
    pytest.skip('no disk can be mounted here')
  try:
    def go(out):
      if way == 'there':
        convert.to_nws(zoo.path, str(out))
      else:
        convert.from_nws(str(published), str(out), 10_000)
    with monkeypatch.context() as m:
      m.setattr(convert, '_check_room', lambda *_: None)
      (disk / 'others').write_bytes(bytes(
          shutil.disk_usage(disk).free - 300_000))
      with pytest.raises(errors.Damaged, match='No space left.*same command'):
        go(disk / 'out')
    with pytest.raises(errors.Damaged, match='has no room: .* MB are needed'):
      go(disk / 'out')
    (disk / 'others').unlink()
    go(disk / 'out')
    go(tmp_path / 'whole')
    if way == 'there':
      first, second = tree(disk / 'out'), tree(tmp_path / 'whole')
      assert first.keys() == second.keys()
      assert all(first[k] == second[k] for k in first if '/' in k)
    else:
      assert (nws_jax.open_zoo(disk / 'out').digest
              == nws_jax.open_zoo(tmp_path / 'whole').digest)
  finally:
    subprocess.run(['umount', str(disk)], check=True)


def call(*args):
  return subprocess.run([sys.executable, '-m', 'nws_jax.convert', *args],
                        cwd=ROOT, capture_output=True, text=True)


def test_the_command(zoo, tmp_path):
  there = call(f'--from=zoo:{zoo.path}', f'--to=nws:{tmp_path}/nws')
  assert there.returncode == 0, there.stderr
  assert 'nws_train.csv' in there.stdout and 'Traceback' not in there.stderr
  back = call(f'--from=nws:{tmp_path}/nws', f'--to=zoo:{tmp_path}/zoo')
  assert back.returncode == 0 and '8 networks' in back.stdout, back.stderr
  assert json.loads((tmp_path / 'zoo' / 'config.json').read_text())[
      'converted_from']['format'] == 'nws'
  (tmp_path / 'nws' / '00000' / 'error.bin').write_bytes(b'')
  bad = call(f'--from=nws:{tmp_path}/nws', f'--to=zoo:{tmp_path}/zoo2')
  assert bad.returncode == 1 and '00000/error.bin' in bad.stderr
  assert bad.stderr.count('\n') == 1


@pytest.mark.parametrize('args, said', [
    ((), '--from='), (('--from=zoo:a',), '--to='),
    (('--from=zip:a', '--to=zoo:b'), 'zoo, nws'),
    (('--from=zoo', '--to=nws:b'), 'FORMAT:FOLDER'),
    (('--from=zoo:a', '--to=zoo:b'), 'nothing'),
    (('--from=zoo:runs/none', '--to=nws:b'), 'runs/none'),
    (('--from=nws:runs/none', '--to=zoo:b'), 'runs/none'),
    (('--from=nws:a', '--to=zoo:b', '--min_accuracy=0.2'), '--from=zoo'),
    (('--from=zoo:a', '--to=nws:b', '--min_accuracy=2'), 'min_accuracy=2')])
def test_a_wrong_request_ends_with_one_message_and_2(args, said):
  done = call(*args)
  assert done.returncode == 2 and not done.stdout, done.stderr
  assert said in done.stderr and done.stderr.count('\n') == 1
  assert not os.path.exists(os.path.join(ROOT, 'b'))


def test_help_is_quick():
  seconds = []
  for _ in range(2):
    begin = sum(os.times()[2:4])
    done = call('--help')
    seconds.append(sum(os.times()[2:4]) - begin)
  assert done.returncode == 0 and '--min_accuracy' in done.stdout
  assert min(seconds) < 2

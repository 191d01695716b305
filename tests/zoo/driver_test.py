"""A whole zoo, tiny: uninterrupted = interrupted = killed and resumed."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import nws_jax
from nws_jax import errors
from nws_jax.store import folder, tables
from nws_jax.zoo import driver, recipe

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
CHOICES = {
    'dataset': ('digits', 'mnist'), 'learning_rate': (0.0005, 0.005),
    'batch_size': (64, 128), 'batch_norm': (True,),
    'augmentation': (False, True), 'optimizer': ('adam', 'momentum'),
    'activation': ('relu', 'tanh'), 'initialization': ('glorot_uniform',),
    'filter_size': (1,), 'depth_conv': (3,), 'depth_fc': (1,),
    'width_conv': (1,), 'width_fc': (8,), 'weight_decay': (0.0,),
    'dropout': (0.5,)}


def make_recipe(**changes):
  return recipe.Recipe(**{**dict(
      seed=3, networks=5, replicates=1, sampling='balanced', epochs=3,
      dataset_source='embedded', data_dir='', lr_decay=0.96, early_stopping=0,
      eval_bn='running', precision='float32',
      test_part=100, networks_per_program=2,
      keep=0, eval_augmentation=False, disk_gb=0.0, compile_ahead=True,
      merge=True,
      choices=tuple(CHOICES.items())), **changes})


class Silent:
  """A bar that shows nothing, and can interrupt."""

  def __init__(self, stop_after=None):
    self.left = stop_after

  def start(self, networks, epochs, done):
    self.done = done

  def note(self, text):
    pass

  def skip(self, epochs):
    pass

  def advance(self, networks, images):
    assert networks > 0 and images > 0
    if self.left is not None:
      self.left -= 1
      if self.left < 0:
        raise KeyboardInterrupt


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  path = str(tmp_path_factory.mktemp('zoo') / 'whole')
  assert driver.run(make_recipe(), path, Silent())
  return path


def assert_equal_zoos(a, b):
  a, b = nws_jax.open_zoo(a), nws_jax.open_zoo(b)
  drop = list(tables.TIMES)
  assert a.members.drop(columns=drop).equals(b.members.drop(columns=drop))
  assert a.metrics.equals(b.metrics) and a.layers.equals(b.layers)
  ids = a.members['id']
  np.testing.assert_array_equal(
      a.vectors(ids, range(4)), b.vectors(ids, range(4)))
  assert a.digest == b.digest


def test_tables_of_a_finished_zoo(whole):
  zoo = nws_jax.open_zoo(whole)
  members, metrics = zoo.members, zoo.metrics
  assert members['id'].tolist() == list(range(5))
  assert set(members['status']) == {'finished'}
  assert members['unit'].nunique() == len(os.listdir(whole + '/units')) > 1
  want = recipe.rows(make_recipe())
  for row, member in zip(want, members.to_dict('records')):
    assert {k: member[k] for k in row} == row
  assert len(metrics) == 5 * 4
  for id, rows in metrics.groupby('id'):
    assert rows['epoch'].tolist() == rows['snapshot'].tolist() == [0, 1, 2, 3]
    assert rows['step'].diff().dropna().nunique() == 1
    assert np.isnan(rows['train_loss'].iloc[0])
    assert np.isfinite(rows['train_loss'].iloc[1:]).all()
    last = members.set_index('id').loc[id]
    assert last['test_accuracy'] == rows['test_accuracy'].iloc[-1]
    assert last['last_step'] == rows['step'].iloc[-1]
  assert members['test_accuracy'].nunique() > 1
  assert not os.path.exists(os.path.join(whole, 'state'))
  assert zoo.verify() == 20


def test_stored_accuracy_is_that_of_the_reloaded_network(whole):
  zoo = nws_jax.open_zoo(whole)
  for member in zoo.members.to_dict('records'):
    images, labels = zoo.images(member['dataset'], 'test')
    logits = zoo.apply(member['id'], 3, images)
    accuracy = (logits.argmax(-1) == labels).mean()
    assert abs(accuracy - member['test_accuracy']) < 1e-6


def test_run_again_does_nothing(whole):
  before = tables.read_text(os.path.join(whole, 'checksums.json'))
  assert not driver.run(make_recipe(), whole, Silent())
  assert tables.read_text(os.path.join(whole, 'checksums.json')) == before


@pytest.mark.parametrize('stop_after', (0, 4))
def test_interrupted_and_resumed_is_uninterrupted(whole, tmp_path, stop_after):
  path = str(tmp_path / 'zoo')
  with pytest.raises(KeyboardInterrupt):
    driver.run(make_recipe(), path, Silent(stop_after))
  bar = Silent()
  assert driver.run(make_recipe(), path, bar)
  assert stop_after == 0 or bar.done > 0  # what was committed is not repeated
  assert_equal_zoos(whole, path)


KILLS = {
    'while an epoch is saved': ('snapshots.Writer', 'wait', 3, 'before'),
    'before a commit': ('folder', 'commit', 3, 'before'),
    'inside a commit': ('tables', 'write_text', 12, 'after'),
}


def kill_script(where, name, count, when, path):
  return textwrap.dedent(f'''
      import os, signal, sys
      sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})
      from nws_jax.store import folder, snapshots, tables
      import driver_test
      from nws_jax.zoo import driver
      real, calls = {where}.{name}, 0
      def wrapped(*args, **kwargs):
        global calls
        calls += 1
        if calls == {count} and {when!r} == 'before':
          os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if calls == {count}:
          os.kill(os.getpid(), signal.SIGKILL)
        return result
      {where}.{name} = wrapped
      driver.run(driver_test.make_recipe(), {path!r}, driver_test.Silent())
      ''')


@pytest.mark.parametrize('kill', KILLS)
def test_killed_and_resumed_is_uninterrupted(whole, tmp_path, kill):
  path = str(tmp_path / 'zoo')
  done = subprocess.run(
      [sys.executable, '-c', kill_script(*KILLS[kill], path)], cwd=ROOT)
  assert done.returncode == -signal.SIGKILL
  committed = {u: folder.progress(path, u)['epoch'] for u in folder.units(path)}
  assert committed
  bar = Silent()
  assert driver.run(make_recipe(), path, bar)
  assert_equal_zoos(whole, path)


def test_another_zoo_is_left_alone(whole):
  for change in ({'seed': 4}, {'epochs': 4},
                 {'choices': tuple({**CHOICES, 'batch_size': (64,)}.items())}):
    with pytest.raises(errors.Wrong, match='another zoo') as e:
      driver.run(make_recipe(**change), whole, Silent())
    assert next(iter(change)) in str(e.value)


def test_a_foreign_folder_is_left_alone(tmp_path):
  (tmp_path / 'thesis.tex').write_text('x')
  with pytest.raises(errors.Wrong, match='thesis.tex'):
    driver.run(make_recipe(), str(tmp_path), Silent())
  assert os.listdir(tmp_path) == ['thesis.tex']


def test_a_batch_larger_than_a_set_is_refused(tmp_path):
  choices = tuple({**CHOICES, 'batch_size': (2048,)}.items())
  with pytest.raises(errors.Wrong, match='batch_size=2048.*digits'):
    driver.run(make_recipe(choices=choices), str(tmp_path / 'z'), Silent())
  assert not os.listdir(tmp_path)


def test_a_damaged_state_is_named(tmp_path):
  path = str(tmp_path / 'zoo')
  with pytest.raises(KeyboardInterrupt):
    driver.run(make_recipe(), path, Silent(1))
  unit = folder.units(path)[0]
  epoch = folder.progress(path, unit)['epoch']
  shutil.rmtree(folder.state_path(path, unit, epoch))
  with pytest.raises(errors.Damaged, match='state'):
    driver.run(make_recipe(), path, Silent())


def test_early_stopping_freezes_and_resumes(tmp_path):
  stopping = make_recipe(networks=2, epochs=26, early_stopping=1, choices=tuple(
      {**CHOICES, 'batch_size': (128,), 'learning_rate': (0.02, 0.05)}.items()))
  a, b = str(tmp_path / 'a'), str(tmp_path / 'b')
  assert driver.run(stopping, a, Silent())
  zoo = nws_jax.open_zoo(a)
  assert 'stopped' in set(zoo.members['status'])
  for member in zoo.members.to_dict('records'):
    rows = zoo.metrics[zoo.metrics['id'] == member['id']]
    last = member['evaluations'] - 1
    assert rows['epoch'].tolist() == list(range(last + 1))
    assert zoo.epochs(member['id']) == tuple(range(last + 1))
    if member['status'] == 'stopped':
      assert 20 <= member['evaluations'] < 27
      drop = rows['valid_accuracy'].diff().iloc[-1]
      assert drop < 0
    images, labels = zoo.images(member['dataset'], 'test')
    logits = zoo.apply(member['id'], last, images)
    accuracy = (logits.argmax(-1) == labels).mean()
    assert abs(accuracy - member['test_accuracy']) < 1e-6
  with pytest.raises(KeyboardInterrupt):
    driver.run(stopping, b, Silent(15))
  assert driver.run(stopping, b, Silent())
  assert nws_jax.open_zoo(b).digest == zoo.digest

"""A whole zoo, tiny: uninterrupted = interrupted = killed and resumed."""

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import nws_jax
from nws_jax import errors, interrupts
from nws_jax.store import folder, schema, tables
from nws_jax.zoo import driver, plan, recipe
from tests.zoo.stopping_test import published

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
      test_part=100, networks_per_program=2, keep=0, eval_augmentation=False,
      disk_gb=0.0, compile_ahead=True, merge=True,
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


@pytest.fixture(scope='module')
def thinned(tmp_path_factory):
  path = str(tmp_path_factory.mktemp('zoo') / 'thinned')
  assert driver.run(make_recipe(keep=3), path, Silent())
  return path


def assert_equal_zoos(a, b):
  a, b = nws_jax.open_zoo(a), nws_jax.open_zoo(b)
  drop = list(schema.TIMES)
  assert a.members.drop(columns=drop).equals(b.members.drop(columns=drop))
  assert a.metrics.equals(b.metrics) and a.layers.equals(b.layers)
  ids = a.members['id']
  kept = a.epochs(0)
  np.testing.assert_array_equal(a.vectors(ids, kept), b.vectors(ids, kept))
  assert a.digest == b.digest


def test_tables_of_a_finished_zoo(whole):
  zoo = nws_jax.open_zoo(whole)
  members, metrics = zoo.members, zoo.metrics
  assert members['id'].tolist() == list(range(5))
  assert set(members['status']) == {'finished'}
  assert members['unit'].nunique() == len(os.listdir(whole + '/units')) > 1
  want = recipe.rows(make_recipe())
  for row, member in zip(want, members.to_dict('records')):
    del row['family']  # config.json has it
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


def test_a_signal_saves_the_round_that_was_trained_last(tmp_path):
  """In a thread of its own, while the next round trains; then all ends."""
  class Killed(BaseException):
    pass

  class Signalled(Silent):

    def advance(self, networks, images):
      save = threading.Thread(target=interrupts._saves[-1])
      save.start()
      save.join()
      raise Killed

  path = str(tmp_path / 'zoo')
  with pytest.raises(Killed):
    driver.run(make_recipe(), path, Signalled())
  unit, = folder.units(path)
  assert folder.progress(path, unit)['round'] == 1  # of which `advance` tells
  assert not interrupts._saves


KILLS = {
    'while a round is saved': ('snapshots.Writer', 'wait', 3, 'before', {}),
    'before a commit': ('folder', 'commit', 3, 'before', {}),
    'inside a commit': ('tables', 'write_text', 13, 'after', {}),
    'while thinning': ('stacks', 'read', 3, 'after', {'keep': 3}),
    'before what is not kept goes': ('folder', 'sweep', 4, 'before',
                                     {'keep': 3}),
}


def kill_script(where, name, count, when, changes, path):
  return textwrap.dedent(f'''
      import os, signal, sys
      sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})
      from nws_jax.store import folder, snapshots, stacks, tables
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
      driver.run(driver_test.make_recipe(**{changes!r}), {path!r},
                 driver_test.Silent())
      ''')


@pytest.mark.parametrize('kill', [
    pytest.param(name, marks=[pytest.mark.soak] * (n in (2, 4)))
    for n, name in enumerate(KILLS)])
def test_killed_and_resumed_is_uninterrupted(whole, thinned, tmp_path, kill):
  path, changes = str(tmp_path / 'zoo'), KILLS[kill][-1]
  done = subprocess.run(
      [sys.executable, '-c', kill_script(*KILLS[kill], path)], cwd=ROOT)
  assert done.returncode == -signal.SIGKILL
  committed = {u: folder.progress(path, u)['round'] for u in folder.units(path)}
  assert committed
  if kill == 'before what is not kept goes':  # all rounds are still there
    unit, = folder.units(path)
    record = folder.progress(path, unit)
    assert record['done'] and sorted(record['digests']) == [1, 2, 3]
    assert os.listdir(os.path.join(path, 'state', unit))
    assert set(os.listdir(os.path.join(path, 'snapshots', unit))) == set(
        '1234567')
  assert driver.run(make_recipe(**changes), path, Silent())
  assert_equal_zoos(thinned if changes else whole, path)
  for unit in folder.units(path):
    assert set(os.listdir(os.path.join(path, 'snapshots', unit))) == set(
        map(str, folder.progress(path, unit)['digests']))


def test_thinned_is_whole_at_fewer_epochs(whole, thinned):
  some, all_ = nws_jax.open_zoo(thinned), nws_jax.open_zoo(whole)
  ids, kept = all_.members['id'], (0, 2, 3)
  assert all(some.epochs(id) == kept for id in ids)
  np.testing.assert_array_equal(some.vectors(ids, kept),
                                all_.vectors(ids, kept))
  metrics = some.metrics
  assert metrics.drop(columns='snapshot').equals(
      all_.metrics.drop(columns='snapshot'))
  assert metrics['snapshot'].dropna().tolist() == [1, 2, 3] * len(ids)
  for unit in folder.units(thinned):
    assert sorted(os.listdir(f'{thinned}/snapshots/{unit}')) == ['1', '2', '3']


def test_a_grown_zoo_keeps_its_networks(whole, tmp_path):
  path = str(tmp_path / 'zoo')
  assert driver.run(make_recipe(networks=3), path, Silent())
  small = nws_jax.open_zoo(path)
  weights = small.vectors(range(3), range(4))
  assert small.members['id'].tolist() == [0, 1, 2]
  units = [u._asdict() for u in plan.read(f'{path}/plan.json').units]
  # Killed between its two records, it is completed by the same request.
  killed = str(shutil.copytree(path, tmp_path / 'killed'))
  for p in (path, killed):
    if p == killed:
      shutil.copy(f'{path}/config.json', f'{killed}/config.json')
    assert driver.run(make_recipe(), p, Silent())
    grown = nws_jax.open_zoo(p)
    assert [u._asdict() for u in plan.read(f'{p}/plan.json').units
            ][:len(units)] == units
    np.testing.assert_array_equal(grown.vectors(range(3), range(4)), weights)
    drawn = nws_jax.open_zoo(whole).members
    names = [name for name in recipe.rows(make_recipe())[0]
             if name in drawn]
    assert {'id', 'seed', 'split', *CHOICES} <= {*names}
    assert grown.members[names].equals(drawn[names])
    assert grown.verify() == 20 and grown.config['networks'] == 5
    assert [g['from'] for g in grown.config['grown']] == [3]
  with pytest.raises(errors.Wrong, match='networks is 5, not 3.*or more'):
    driver.run(make_recipe(networks=3), path, Silent())
  with pytest.raises(errors.Wrong, match='another zoo: its seed'):
    driver.run(make_recipe(networks=9, seed=4), path, Silent())


SEVERAL = {**CHOICES, 'batch_size': (64,), 'activation': ('relu',),
           'filter_size': (1, 3), 'depth_fc': (1, 2)}


def test_architectures_share_a_program(tmp_path):
  path = str(tmp_path / 'zoo')
  several = make_recipe(epochs=1, networks=2, networks_per_program=2,
                        choices=tuple(SEVERAL.items()))
  assert driver.run(several, path, Silent())
  unit, = plan.read(f'{path}/plan.json').units
  zoo = nws_jax.open_zoo(path)
  assert zoo.members['architecture'].nunique() == len(unit.archs) > 1
  assert zoo.verify() == 4
  for member in zoo.members.to_dict('records'):
    assert len(zoo.vector(member['id'], 1)) == member['num_weights']
    images, labels = zoo.images(member['dataset'], 'test')
    logits = zoo.apply(member['id'], 1, images)
    accuracy = (logits.argmax(-1) == labels).mean()
    assert abs(accuracy - member['test_accuracy']) < 2.5e-3  # by rounding
  alone = str(tmp_path / 'alone')
  assert driver.run(dataclasses.replace(several, merge=False), alone, Silent())
  assert len(plan.read(f'{alone}/plan.json').units) == len(unit.archs)
  other = nws_jax.open_zoo(alone)
  for id in range(2):
    np.testing.assert_allclose(zoo.vector(id, 0), other.vector(id, 0),
                               rtol=1e-6, atol=1e-7)
  assert zoo.metrics['step'].equals(other.metrics['step'])


def test_out_of_memory_goes_on_with_half(whole, tmp_path, monkeypatch):
  import jax

  from nws_jax.zoo import population
  path, build, said = str(tmp_path / 'zoo'), population.build, []
  def build_small(static, stage, networks_M):
    if len(networks_M.id) > 2:
      raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory')
    return build(static, stage, networks_M)
  monkeypatch.setattr(population, 'build', build_small)
  bar = Silent()
  bar.say = said.append
  assert driver.run(make_recipe(networks_per_program=4), path, bar)
  assert 'no memory for 4 networks' in said[0]
  assert {u.width for u in plan.read(f'{path}/plan.json').units} == {2}
  a, b = nws_jax.open_zoo(path), nws_jax.open_zoo(whole)
  np.testing.assert_array_equal(a.vectors(range(5), [1, 3]),
                                b.vectors(range(5), [1, 3]))
  def build_none(*args):
    raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory')
  monkeypatch.setattr(population, 'build', build_none)
  with pytest.raises(errors.Damaged, match='does not fit the memory'):
    driver.run(make_recipe(), str(tmp_path / 'none'), bar)


def test_what_cannot_fit_the_disk_is_refused(tmp_path):
  path = str(tmp_path / 'zoo')
  some = make_recipe(networks=500, epochs=100)
  with pytest.raises(errors.Wrong) as e:
    driver.run(dataclasses.replace(some, disk_gb=0.01), path, Silent())
  assert 'allowed by disk_gb=0.01' in str(e.value)
  assert not os.path.exists(path + '/config.json')
  fits = int(re.search(r'networks=(\d+) would fit', str(e.value))[1])
  assert 10 < fits < 500
  said, refusal = driver.quote(dataclasses.replace(some, disk_gb=0.01), path)
  assert '500 of 500 networks' in said and str(refusal) == str(e.value)
  for enough in (dict(networks=fits), dict(keep=20, networks=fits * 2)):
    said, refusal = driver.quote(
        dataclasses.replace(some, disk_gb=0.01, **enough), path)
    assert refusal is None
    assert f'{enough["networks"]} of {enough["networks"]} networks' in said
  assert not os.path.exists(path + '/config.json')


def test_a_quote_names_what_is_left(whole, tmp_path):
  said, _ = driver.quote(make_recipe(), str(tmp_path / 'zoo'))
  assert '5 of 5 networks are left, in 2 programs' in said
  assert not os.listdir(tmp_path)
  assert '0 of 5 networks are left' in driver.quote(
      make_recipe(), whole)[0]


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
  epoch = folder.progress(path, unit)['round']
  shutil.rmtree(folder.state_path(path, unit, epoch))
  with pytest.raises(errors.Damaged, match='state'):
    driver.run(make_recipe(), path, Silent())


def test_early_stopping_freezes_and_resumes(tmp_path):
  stopping = make_recipe(networks=5, epochs=26, early_stopping=1, choices=tuple(
      {**CHOICES, 'batch_size': (128,), 'learning_rate': (0.02, 0.05)}.items()))
  a, b = str(tmp_path / 'a'), str(tmp_path / 'b')
  assert driver.run(stopping, a, Silent())
  zoo = nws_jax.open_zoo(a)
  unit, = plan.read(f'{a}/plan.json').units
  assert unit.width == 2 and len(unit.ids) == 5
  # The third network took the slot of the first that was stopped.
  first = zoo.metrics.groupby('id')['snapshot'].min()
  assert first[0] == first[1] == 0 and 20 <= first[2] < 27
  assert 'stopped' in set(zoo.members['status'])
  for member in zoo.members.to_dict('records'):
    rows = zoo.metrics[zoo.metrics['id'] == member['id']]
    last = member['evaluations'] - 1
    assert rows['epoch'].tolist() == list(range(last + 1))
    assert zoo.epochs(member['id']) == tuple(range(last + 1))
    if member['status'] == 'stopped':
      assert 20 <= member['evaluations'] < 27
    # A drop still counts while the accuracy stays where it fell to.
    assert published(rows['valid_accuracy'].to_numpy(np.float32), 1) == (
        member['evaluations'] if member['status'] == 'stopped' else None)
    images, labels = zoo.images(member['dataset'], 'test')
    logits = zoo.apply(member['id'], last, images)
    accuracy = (logits.argmax(-1) == labels).mean()
    assert abs(accuracy - member['test_accuracy']) < 1e-6
  with pytest.raises(KeyboardInterrupt):
    driver.run(stopping, b, Silent(40))
  assert driver.run(stopping, b, Silent())
  assert nws_jax.open_zoo(b).digest == zoo.digest

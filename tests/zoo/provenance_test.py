"""A zoo goes on, and is repeated, where it was begun; or says what differs."""

import os
import re
import shutil

import jax
import psutil
import pytest

import nws_jax
from nws_jax import checks, environment, errors, replay
from nws_jax.store import tables
from nws_jax.zoo import driver, runtime
from tests.zoo.driver_test import Silent, assert_equal_zoos, make_recipe


class Telling(Silent):
  """A bar that keeps what is said."""

  def __init__(self, stop_after=None):
    super().__init__(stop_after)
    self.lines = []

  def say(self, text):
    self.lines.append(text)


def elsewhere(monkeypatch, **versions):
  here = environment.describe()
  other = {**here, 'versions': here['versions'] | versions}
  monkeypatch.setattr(environment, 'describe', lambda: other)


@pytest.fixture(scope='module')
def begun(tmp_path_factory):
  """A zoo interrupted in its first unit."""
  zoo = str(tmp_path_factory.mktemp('begun') / 'zoo')
  with pytest.raises(KeyboardInterrupt):
    driver.run(make_recipe(), zoo, Silent(1))
  return zoo


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  zoo = str(tmp_path_factory.mktemp('whole') / 'zoo')
  driver.run(make_recipe(), zoo, Silent())
  return zoo


def read_tree(folder):
  return {os.path.join(where, name): os.path.getmtime(os.path.join(where, name))
          for where, _, names in os.walk(folder) for name in names
          if name != 'lock'}


def test_a_half_trained_unit_goes_on_where_it_began(
    begun, whole, tmp_path, monkeypatch):
  zoo = shutil.copytree(begun, tmp_path / 'zoo')
  before = read_tree(zoo)
  elsewhere(monkeypatch, jax='0.0.1')
  with pytest.raises(errors.Wrong, match='jax was .* is 0.0.1 here') as e:
    driver.run(make_recipe(), str(zoo), Telling())
  assert read_tree(zoo) == before
  assert re.search(r"pip install 'jax==\d", str(e.value))
  # What else the message advises: the unit is trained anew.
  paths = re.findall(r'((?:units|snapshots|state)/[\w-]+)', str(e.value))
  assert len(paths) == 3
  for path in paths:
    shutil.rmtree(zoo / path)
  bar = Telling()
  assert driver.run(make_recipe(), str(zoo), bar)
  assert any('jax was' in line for line in bar.lines)
  assert_equal_zoos(zoo, whole)
  first, second = nws_jax.open_zoo(zoo).config['environments']
  assert second['versions']['jax'] == '0.0.1'
  assert set(second['units']) == set(nws_jax.open_zoo(zoo).members['unit'])


def test_a_harmless_difference_is_told(begun, whole, tmp_path, monkeypatch):
  zoo, bar = shutil.copytree(begun, tmp_path / 'zoo'), Telling()
  elsewhere(monkeypatch, flax='0.0.1')
  assert driver.run(make_recipe(), str(zoo), bar)
  assert [line for line in bar.lines if 'flax was' in line] == bar.lines != []
  assert_equal_zoos(zoo, whole)


def test_the_same_environment_is_recorded_once(whole, tmp_path):
  zoo = shutil.copytree(whole, tmp_path / 'zoo')
  before = read_tree(zoo)
  assert not driver.run(make_recipe(), str(zoo), Telling())
  record = zoo / 'config.json'
  assert os.path.getmtime(record) == before[str(record)]
  (entry,) = tables.read_json(record)['environments']
  assert set(entry['units']) == set(nws_jax.open_zoo(zoo).members['unit'])
  bar = Telling()
  assert driver.run(make_recipe(networks=6), str(zoo), bar)
  (entry,) = tables.read_json(record)['environments']
  assert set(entry['units']) == set(nws_jax.open_zoo(zoo).members['unit'])
  assert not bar.lines


def test_a_replay_elsewhere_does_not_blame_the_zoo(
    whole, monkeypatch, capsys):
  zoo = nws_jax.open_zoo(whole)
  assert 'this is the same' in checks.describe_environment(zoo)
  elsewhere(monkeypatch, jaxlib='0.0.1')
  assert 'jaxlib was' in checks.describe_environment(zoo)
  replay.replay(zoo, 0)  # equal bits are equal anywhere
  assert 'equal, bit for bit' in capsys.readouterr().out
  monkeypatch.setattr(replay, 'compare', lambda *_: 'one weight differs')
  with pytest.raises(errors.Wrong, match='no fault of.*jaxlib was'):
    replay.replay(zoo, 0)
  monkeypatch.undo()
  monkeypatch.setattr(replay, 'compare', lambda *_: 'one weight differs')
  with pytest.raises(errors.Damaged, match='in the same environment'):
    replay.replay(zoo, 0)


@pytest.fixture
def programs(tmp_path):
  """An empty folder for compiled programs."""
  from jax._src import compilation_cache
  new = {'jax_compilation_cache_dir': str(tmp_path),
         'jax_persistent_cache_min_compile_time_secs': 0}
  before = {name: getattr(jax.config, name) for name in new}
  compilation_cache.reset_cache()
  for name, value in new.items():
    jax.config.update(name, value)
  yield tmp_path
  compilation_cache.reset_cache()
  for name, value in before.items():
    jax.config.update(name, value)


def test_a_damaged_cached_program_is_replaced_once(programs):
  def double(x):
    return 2 * x

  def compile_and_run():
    runtime.start(len(jax.devices()))
    jax.clear_caches()
    return jax.jit(double).lower(1.5).compile()(1.5)

  assert compile_and_run() == 3
  entry, = programs.glob('jit_double-*-cache')
  whole = entry.read_bytes()
  entry.write_bytes(whole[:len(whole) // 2])
  assert compile_and_run() == 3
  assert entry.stat().st_size > len(whole) // 2
  written = entry.stat().st_mtime_ns
  assert compile_and_run() == 3
  assert entry.stat().st_mtime_ns == written


def test_memory_is_what_the_system_calls_available():
  found = runtime.find_memory()
  assert found == pytest.approx(
      psutil.virtual_memory().available / 2, rel=0.2)

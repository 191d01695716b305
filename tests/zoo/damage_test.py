"""A tiny zoo damaged in one place: one message, and nothing is lost."""

import os
import shutil
import subprocess
import sys

import pytest

import nws_jax
from nws_jax import errors, published, verify
from nws_jax.store import folder, snapshots, tables, whole
from nws_jax.zoo import driver, opening, recipe

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
RECIPE = recipe.Recipe(
    seed=3, networks=4, replicates=1, sampling='balanced', epochs=3,
    dataset_source='embedded', data_dir='', lr_decay=0.96, early_stopping=0,
    eval_bn='running', precision='float32', test_part=100,
    networks_per_program=2, keep=2, eval_augmentation=False, disk_gb=0.0,
    compile_ahead=False, merge=True, choices=tuple({
        'dataset': ('digits',), 'learning_rate': (0.0005, 0.005),
        'batch_size': (128,), 'batch_norm': (True,), 'augmentation': (False,),
        'optimizer': ('adam', 'momentum'), 'activation': ('relu', 'tanh'),
        'initialization': ('glorot_uniform',), 'filter_size': (1,),
        'depth_conv': (3,), 'depth_fc': (1,), 'width_conv': (1,),
        'width_fc': (8,), 'weight_decay': (0.0,),
        'dropout': (0.5,)}.items()))


class Bar:
  """Shows nothing; interrupts after some rounds."""

  def __init__(self, rounds=1000):
    self.rounds = rounds

  def advance(self, *_):
    self.rounds -= 1
    if not self.rounds:
      raise KeyboardInterrupt

  start = note = skip = lambda *_: None


@pytest.fixture(scope='module')
def begun(tmp_path_factory):
  """One unit is done; of the other, two rounds."""
  path = tmp_path_factory.mktemp('damage') / 'zoo'
  with pytest.raises(KeyboardInterrupt):
    driver.run(RECIPE, str(path), Bar(3 + 1))
  assert sorted(folder.progress(path, u)['done'] for u in folder.units(path)
                ) == [False, True]
  return path


@pytest.fixture(scope='module')
def finished(begun, tmp_path_factory):
  path = shutil.copytree(begun, tmp_path_factory.mktemp('damage') / 'whole')
  assert driver.run(RECIPE, str(path), Bar())
  return path


@pytest.fixture
def copy(begun, tmp_path):
  return shutil.copytree(begun, tmp_path / 'zoo')


def read_all(zoo):
  """{path: bytes}, but for the lock and what is made anew."""
  return {p.relative_to(zoo): p.read_bytes() for p in zoo.rglob('*')
          if p.is_file() and p.name not in ('lock', 'coverage.csv')}


def units(zoo):
  """(the one that is done, the one that is not)."""
  return sorted(folder.units(zoo), key=lambda u: not folder.progress(
      zoo, u)['done'])


def cut(path, size):
  path.write_bytes(path.read_bytes()[:size])


def cut_arrays(path):
  """Cuts off the files of a save that hold its arrays."""
  for file in path.glob('**/d/*'):
    cut(file, 100)


def edit(path, **changes):
  """Changes a record, its checksum too."""
  tables.write_json(path, tables.read_json(path) | changes)


def change_plan(zoo, change):
  record = tables.read_json(zoo / 'plan.json')
  change(record['units'])
  edit(zoo / 'plan.json', **record)


def cut_snapshot(zoo):
  path = zoo / 'snapshots' / units(zoo)[1]
  first = min(os.listdir(path), key=int)  # is kept, of every network
  cut_arrays(path / first)
  return f'{path / first} is damaged'


def cut_state(zoo):
  cut_arrays(zoo / 'state')
  return f'state/{units(zoo)[1]}/'


def flip_state(zoo):
  """Flips a bit of a network's weights in the state, where they are stored."""
  unit = units(zoo)[1]
  last = max(folder.progress(zoo, unit)['digests'])
  row = folder.read_unit(zoo, unit)[0].to_dict('records')[0]
  weights, = snapshots.read_vectors(
      folder.snapshot_path(zoo, unit, last),
      published.layout(published.architecture(row)), [0])
  flipped = 0
  for path in zoo.glob(f'state/{unit}/**/d/*'):
    data, place = bytearray(path.read_bytes()), 0
    while (place := data.find(weights[:8].tobytes(), place)) >= 0:
      data[place + 2] ^= 1
      flipped += 1
    path.write_bytes(data)
  assert flipped
  return f'state/{unit}/'


def drop_state(zoo):
  shutil.rmtree(zoo / 'state')
  return f'state/{units(zoo)[1]}/'


def edit_metrics(zoo, which):
  path = zoo / 'units' / units(zoo)[which] / 'metrics.csv'
  path.write_text(path.read_text().replace('0.', '0.1', 1))
  return f'{path} is damaged: its checksum is wrong'


def drop_slot(zoo):
  path = zoo / 'units' / units(zoo)[1] / 'progress.json'
  edit(path, slots=tables.read_json(path)['slots'][:1])
  return 'its slots do not hold the networks of its last snapshot'


def name_twice(zoo):
  change_plan(zoo, lambda units: units[1]['ids'].append(units[0]['ids'][0]))
  return 'plan.json is damaged: it names network 0 twice'


def name_unknown(zoo):
  change_plan(zoo, lambda units: units[1]['ids'].append(99))
  return 'plan.json is damaged: it names network 99, of 4'


def unit_twice(zoo):
  change_plan(zoo, lambda units: units.append({**units[0], 'ids': []}))
  return 'plan.json is damaged: it names the unit k1-c3x1-f1x8-b128-000 twice'


def change_width(zoo, width):
  change_plan(zoo, lambda units: units[1].update(width=width))
  return f'has width={width}, which is no multiple'


def change_batch(zoo):
  change_plan(zoo, lambda units: units[1].update(batch_size=64))
  return 'cannot hold network 2'


def change_arch(zoo):
  change_plan(zoo, lambda units: units[1]['archs'][0].update(width_fc=-8))
  return 'width_fc=-8 is not possible'


def cut_plan(zoo):
  cut(zoo / 'plan.json', 100)
  return 'plan.json is damaged'


def cut_record(zoo):
  path = zoo / 'units' / units(zoo)[0] / 'progress.json'
  cut(path, 40)
  return f'{path} is damaged'


DAMAGES = {
    'a snapshot cut off': cut_snapshot, 'a state cut off': cut_state,
    'a bit of a state': flip_state,
    'no state': drop_state, 'figures edited': lambda z: edit_metrics(z, 1),
    'figures of a finished unit edited': lambda z: edit_metrics(z, 0),
    'a slot less': drop_slot, 'a network twice': name_twice,
    'an unknown network': name_unknown, 'a unit twice': unit_twice,
    'no width': lambda z: change_width(z, 0),
    'less than no width': lambda z: change_width(z, -2),
    'an odd width': lambda z: change_width(z, 3),
    'another batch size': change_batch, 'an impossible shape': change_arch,
    'a plan cut off': cut_plan, 'a record cut off': cut_record}


@pytest.mark.parametrize('damage', DAMAGES)
def test_the_next_run_says_what_is_damaged(copy, damage):
  said = DAMAGES[damage](copy)
  with pytest.raises(errors.Damaged) as e:
    driver.run(RECIPE, str(copy), Bar())
  assert said in str(e.value) and 'Restore it from a copy' in str(e.value)
  assert '\n' not in str(e.value)


def test_another_record_of_the_request_is_another_zoo(copy):
  for changes, said in (({'seed': 4}, 'its seed is 4, not 3'),
                        ({'networks': 'few'}, "networks is 'few', not 4"),
                        ({'choices': None}, 'its choices is None')):
    config = (copy / 'config.json').read_text()
    edit(copy / 'config.json', **changes)
    before = read_all(copy)
    with pytest.raises(errors.Wrong, match=said):
      driver.run(RECIPE, str(copy), Bar())
    assert read_all(copy) == before
    (copy / 'config.json').write_text(config)


@pytest.mark.parametrize('damage', (
    'a snapshot cut off', 'figures edited', 'a network twice',
    'a record cut off'))
def test_verify_says_what_is_damaged(finished, tmp_path, damage, capsys):
  path = shutil.copytree(finished, tmp_path / 'zoo')
  said = DAMAGES[damage](path)
  with pytest.raises(errors.Damaged) as e:
    verify.verify(nws_jax.open_zoo(path), networks=0)
  assert said in str(e.value)
  assert 'FAILED' in capsys.readouterr().out


def test_a_unit_deleted_as_the_message_says_is_made_again(finished, copy):
  cut_state(copy)
  unit = units(copy)[1]
  for name in ('units', 'snapshots', 'state'):
    shutil.rmtree(copy / name / unit)
  assert driver.run(RECIPE, str(copy), Bar())
  assert nws_jax.open_zoo(copy).digest == nws_jax.open_zoo(finished).digest


def test_what_killed_writers_left_aside_goes(finished, tmp_path):
  path = shutil.copytree(finished, tmp_path / 'zoo')
  unit = path / 'units' / units(path)[0]
  litter = [path / 'members.csv.123.tmp', unit / 'progress.json.45.tmp',
            unit / 'metrics.csv.new']
  for file in litter:
    file.write_text('half')
  assert not driver.run(RECIPE, str(path), Bar())
  assert not any(file.exists() for file in litter)


def test_killed_before_its_first_record_a_folder_is_no_foreign_one(tmp_path):
  (tmp_path / 'config.json.123.tmp').write_text('half')
  opening.check_free(str(tmp_path))
  (tmp_path / 'config.json.bak').write_text('other')
  with pytest.raises(errors.Wrong, match='config.json.bak'):
    opening.check_free(str(tmp_path))


def test_the_commands_say_so_in_one_line(copy):
  said = cut_plan(copy)
  def call(*args):
    return subprocess.run([sys.executable, '-m', *args], cwd=ROOT,
                          capture_output=True, text=True)
  done = call('nws_jax.zoo', '--config=configs/zoo.py', f'--workdir={copy}')
  assert done.returncode == 2 and 'holds another zoo' in done.stderr
  whole.rebuild(copy)
  done = call('nws_jax.verify', f'--zoo={copy}', '--networks=0')
  assert done.returncode == 1 and not done.stdout
  line, = done.stderr.splitlines()
  assert line.startswith('nws_jax.verify: ') and said in line

"""A tiny real zoo verified, then damaged in one place at a time."""

import dataclasses
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import nws_jax
from nws_jax import checks, errors, evaluation, published, replay, verify
from nws_jax.store import folder, snapshots, tables, whole
from nws_jax.zoo import driver, recipe

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECIPE = recipe.Recipe(
    seed=3, networks=6, replicates=2, sampling='independent', epochs=2,
    dataset_source='embedded', data_dir='', lr_decay=0.96, early_stopping=0,
    eval_bn='running', precision='float32', test_part=100,
    networks_per_program=3,
    keep=0, eval_augmentation=False, disk_gb=0.0, compile_ahead=True,
    merge=True, choices=tuple({
        'dataset': ('digits', 'mnist'), 'learning_rate': (0.0005, 0.005),
        'batch_size': (64,), 'batch_norm': (True,),
        'augmentation': (False, True), 'optimizer': ('adam', 'momentum'),
        'activation': ('relu', 'tanh'),
        'initialization': ('glorot_uniform', 'normal', 'constant'),
        'filter_size': (1,), 'depth_conv': (3,), 'depth_fc': (1,),
        'width_conv': (1,), 'width_fc': (8,), 'weight_decay': (0.0,),
        'dropout': (0.5,)}.items()))


class Silent:
  start = note = advance = skip = lambda *args: None


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  path = str(tmp_path_factory.mktemp('verify') / 'zoo')
  assert driver.run(RECIPE, path, Silent)
  return path


@pytest.fixture
def copy(path, tmp_path):
  return shutil.copytree(path, tmp_path / 'zoo')


def rewrite(path, change_members=None, change_metrics=None, digests=None):
  """Commits a zoo's units again with other rows, all checksums right."""
  for unit in folder.units(path):
    members, metrics = folder.read_unit(path, unit)
    record = folder.progress(path, unit)
    for change, frame in ((change_members, members), (change_metrics, metrics)):
      if change is not None:
        change(frame)
    folder.commit(path, unit, folder.Entry(
        record['round'], True, members.to_dict('records'),
        metrics.to_dict('records'),
        [published.layout(published.architecture(row))
         for row in members.to_dict('records')],
        digests(unit, record['digests']) if digests else record['digests']))
  whole.rebuild(path)
  return nws_jax.open_zoo(path)


def test_every_check_says_what_it_found(path, capsys):
  verify.verify(nws_jax.open_zoo(path), networks=100)
  lines = capsys.readouterr().out.splitlines()
  assert [line.split()[0] for line in lines] == [
      'checksums', 'records', 'splits', 'figures', 'environment', 'population',
      'images', 'accuracies']
  assert '18 vectors' in lines[0] and 'agree about 2 units' in lines[1]
  assert '3 settings' in lines[2]
  assert '18 evaluations' in lines[3] and 'this is the same' in lines[4]
  assert '6 of 6 networks' in lines[5]
  assert 'digits, mnist' in lines[6] and ' of 6 networks' in lines[7]


def test_networks_are_chosen_evenly(path):
  zoo = nws_jax.open_zoo(path)
  assert checks.choose(zoo, 3) == [0, 2, 5]
  assert checks.choose(zoo, 10) == list(range(6))
  assert checks.choose(zoo, 0) == []


def test_images_are_told_apart_from_the_trainers(path, monkeypatch):
  """Another cut, or another part of the test images, has other accuracies."""
  zoo, sets = nws_jax.open_zoo(path), checks.load_sets(RECIPE)
  ids = list(range(6))
  checks.check_accuracies(zoo, RECIPE, sets, ids)
  few = dataclasses.replace(RECIPE, test_part=90)
  with pytest.raises(errors.Damaged, match='90 test images'):
    checks.check_accuracies(zoo, few, sets, ids)
  monkeypatch.setattr(evaluation, '_SPLIT', 2)
  with pytest.raises(errors.Damaged, match='valid images'):
    checks.check_accuracies(zoo, RECIPE, sets, ids)


def test_accuracies_by_batch_statistics(tmp_path):
  r = dataclasses.replace(RECIPE, eval_bn='batch', networks=2, epochs=1)
  path = str(tmp_path / 'zoo')
  driver.run(r, path, Silent)
  zoo, sets = nws_jax.open_zoo(path), checks.load_sets(r)
  assert checks.check_accuracies(zoo, r, sets, [0, 1]).startswith('6 ')
  running = dataclasses.replace(r, eval_bn='running')
  with pytest.raises(errors.Damaged, match='images are right, but'):
    checks.check_accuracies(zoo, running, sets, [0, 1])


def test_networks_that_diverged_are_healthy(tmp_path):
  """Their logits overflow, to NaN or not, as the form has it."""
  choices = dict(RECIPE.choices) | {'learning_rate': (1e6, 2e6)}
  r = dataclasses.replace(RECIPE, choices=tuple(choices.items()))
  path = str(tmp_path / 'zoo')
  driver.run(r, path, Silent)
  zoo = nws_jax.open_zoo(path)
  assert 'diverged' in set(zoo.members['status'])
  verify.verify(zoo, networks=100)
  def change(metrics):  # 0.1: all logits are NaN, and the first class is named
    metrics.loc[(metrics['id'] == 3) & (metrics['epoch'] == 1),
                'valid_accuracy'] += 0.05
  zoo, sets = rewrite(path, change_metrics=change), checks.load_sets(r)
  with pytest.raises(errors.Damaged, match='network 3, epoch 1'):
    checks.check_accuracies(zoo, r, sets, [3])


def test_a_wrong_accuracy_is_named(copy):
  def change(metrics):
    metrics.loc[(metrics['id'] == 4) & (metrics['epoch'] == 2),
                'test_accuracy'] += 0.05
  zoo = rewrite(copy, change_metrics=change)
  with pytest.raises(errors.Damaged) as e:
    verify.verify(zoo)
  figures, accuracies = str(e.value).splitlines()
  assert figures.startswith('figures: network 4 has test_accuracy=')
  assert accuracies.startswith('accuracies: network 4, epoch 2: by metrics.csv')


def test_other_weights_with_right_digests_are_noticed(copy):
  """Whole digests, other network: only measuring can tell."""
  def swap(unit, digests):
    layout = nws_jax.open_zoo(copy).layout(0)
    path = folder.snapshot_path(copy, unit, 2)
    weights_MxP = snapshots.read_vectors(path, layout, range(3))[::-1]
    writer = snapshots.Writer()
    writer.save(path, layout.to_variables(weights_MxP))
    writer.wait()
    return {**digests, 2: digests[2][::-1]}
  zoo = rewrite(copy, digests=swap)
  assert zoo.verify() == 18
  with pytest.raises(errors.Damaged, match='^accuracies: network'):
    verify.verify(zoo)


@pytest.mark.parametrize('column, value, said', [
    ('optimizer', 'rmsprop', "network 1 has optimizer='rmsprop'"),
    ('seed', 4, 'network 1 has seed=4'),
    ('learning_rate', 0.001, 'network 1 has learning_rate=0.001'),
    ('fold', None, 'setting 0 is in two splits or folds'),
    ('split', None, 'setting 0 is in two splits or folds')])
def test_rows_that_were_not_drawn_are_named(copy, column, value, said):
  def change(members):
    row = members['id'] == 1
    old = members.loc[row, column]
    if column == 'fold':
      members.loc[row, column] = (old + 1) % 5
    else:
      members.loc[row, column] = value or old.map({
          'train': 'test', 'test': 'train', 'valid': 'train'})
  with pytest.raises(errors.Damaged, match=said):
    verify.verify(rewrite(copy, change), networks=0)


@pytest.mark.parametrize('change, said', [
    ({'seed': 4}, 'population: network 0 has'),
    ({'images': {'digits': '0'}}, 'images: the images of digits')])
def test_another_config_is_noticed(copy, change, said):
  path = copy / 'config.json'
  tables.write_json(path, tables.read_json(path) | change)
  with pytest.raises(errors.Damaged, match=said):
    verify.verify(nws_jax.open_zoo(copy), networks=0)


@pytest.mark.parametrize('id', (1, 2, 5))
def test_a_network_trained_again_is_the_same_in_every_bit(path, id, capsys):
  replay.replay(nws_jax.open_zoo(path), id)
  assert capsys.readouterr().out.splitlines() == [
      f'network {id}, epoch {e} of 2: equal, bit for bit' for e in range(3)]


def test_a_replay_notices_a_bit(path, monkeypatch, capsys):
  zoo = nws_jax.open_zoo(path)
  def train_alone(*args):
    for epoch, figures in enumerate(checks.read_figures(zoo, 0)):
      vector_P = zoo.vector(0, epoch)
      if epoch == 1:
        vector_P.view(np.uint32)[7] ^= 1
      yield replay.Epoch('cpu', vector_P, {
          k: v for k, v in figures.items() if 'loss' in k})
  monkeypatch.setattr(replay, 'train_alone', train_alone)
  with pytest.raises(errors.Damaged, match='same environment; epoch 1: 1 of '):
    replay.replay(zoo, 0)
  said = capsys.readouterr().out.splitlines()
  assert ['bit for bit' in line for line in said] == [True, False, True]


def test_a_replay_by_another_row_becomes_another_network(
    path, monkeypatch, capsys):
  read, choices = checks.read_recipe, dict(RECIPE.choices)
  choices['learning_rate'] = (0.0006, 0.005)
  monkeypatch.setattr(checks, 'read_recipe', lambda *args: dataclasses.replace(
      read(*args), choices=tuple(choices.items())))
  with pytest.raises(errors.Damaged, match='epoch 1: .* weights differ'):
    replay.replay(nws_jax.open_zoo(path), 0)
  assert 'epoch 0 of 2: equal' in capsys.readouterr().out


def call(*args):
  return subprocess.run([sys.executable, '-m', 'nws_jax.verify', *args],
                        cwd=ROOT, capture_output=True, text=True)


def test_the_command_ends_with_its_codes(copy):
  good = call(f'--zoo={copy}', '--networks=0')
  assert good.returncode == 0 and good.stdout.count('\n') == 8, good.stderr
  for args, said in (((), 'runs/none'), (('--replay=77',), 'no network 77'),
                     (('--networks=-1',), '--networks=-1')):
    zoo = copy if args else 'runs/none'
    done = call(f'--zoo={zoo}', *args)
    assert done.returncode == 2 and said in done.stderr
    assert done.stderr.count('\n') == 1 and not done.stdout
  for of_unit in (True, False):  # the zoo's own table: it cannot be opened
    members, = copy.glob('units/*00/members.csv' if of_unit else 'members.csv')
    text = members.read_text()
    members.write_text(text.replace('0.', '0.1', 1))
    bad = call(f'--zoo={copy}', '--networks=0')
    assert bad.returncode == 1 and 'Traceback' not in bad.stderr
    assert ('FAILED' in bad.stdout) == of_unit and str(members) in bad.stderr
    members.write_text(text)


def test_help_is_quick():
  seconds = []
  for _ in range(2):
    begin = sum(os.times()[2:4])
    done = call('--help')
    seconds.append(sum(os.times()[2:4]) - begin)
  assert done.returncode == 0 and '--replay' in done.stdout
  assert min(seconds) < 2

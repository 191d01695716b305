import pathlib
import re

import numpy as np
import pytest

from nws_jax import errors, published
from nws_jax.meta import request as requests
from nws_jax.meta import running, settings
from nws_jax.meta.answers import answer
from nws_jax.meta.data import reading, splits, targets


def test_classes_stand_in_the_order_of_the_table(plant):
  target = targets.choose(plant().members, 'optimizer')
  assert target.classes == ('adam', 'rmsprop', 'momentum')
  assert [target.classes[i] for i in target.values_M] == (
      plant().members['optimizer'].tolist())


def test_numbers_ascend_whatever_the_published_choices(plant):
  members = plant().members.assign(batch_size=[64, 16, 100] * 20)
  assert targets.choose(members, 'batch_size').classes == (16, 64, 100)


def test_learning_rates_are_regressed_by_their_logarithm(plant):
  members = plant().members
  target = targets.choose(members, 'learning_rate')
  np.testing.assert_allclose(
      target.natural(target.values_M), members['learning_rate'])
  np.testing.assert_allclose(
      target.values_M, np.log(members['learning_rate']))
  assert target.outputs == 1 and not target.classes


@pytest.mark.parametrize('name', ['weight_decay', 'dropout'])
def test_what_may_be_zero_is_regressed_as_it_is(plant, name):
  members = plant().members
  with pytest.raises(errors.Wrong, match=f'--target={name} cannot be read'):
    targets.choose(members, name)
  members[name] = [0.0, 0.25, 0.125] * 20
  target = targets.choose(members, name)
  assert target.values_M.tolist() == members[name].tolist()
  np.testing.assert_array_equal(
      target.natural(target.values_M), members[name])
  assert target.outputs == 1 and not target.fixes_shapes


@pytest.mark.parametrize('name, words', [
    ('dataset', 'optimizer, test_accuracy'), ('batch_norm', 'learning_rate')])
def test_what_does_not_vary_is_refused_and_what_does_is_named(
    plant, name, words):
  with pytest.raises(errors.Wrong, match=words):
    targets.choose(plant().members, name)


def test_unknown_names_and_small_classes_are_refused(plant):
  with pytest.raises(errors.Wrong, match='allowed: dataset, learning_rate'):
    targets.choose(plant().members, 'colour')
  members = plant().members.assign(dataset=['digits'] * 4 + ['mnist'] * 56)
  with pytest.raises(errors.Wrong, match='networks of 4 settings have digits'):
    targets.choose(members, 'dataset')


def test_any_column_of_a_network_can_be_read(plant):
  members = targets.derive(plant(replicates=2).members)
  gap = targets.choose(members, 'generalization_gap')
  np.testing.assert_allclose(
      gap.values_M, members['train_accuracy'] - members['test_accuracy'])
  assert not gap.classes
  members['evaluations'] = members['id'] % 2
  assert targets.choose(members, 'evaluations').classes == (0, 1)
  members['last_step'] = members['id']
  assert not targets.choose(members, 'last_step').classes  # 60 numbers
  with pytest.raises(errors.Wrong, match='all 60 networks have the same'):
    targets.choose(members, 'architecture')


def test_bins_are_quantiles_of_the_training_networks(plant):
  members = plant().members
  sides = splits.split(members)
  target = targets.choose(members, 'test_accuracy', bins=3)
  labels = target.label(sides)
  assert target.classes == ('1 of 3', '2 of 3', '3 of 3')
  accuracy = members['test_accuracy'].to_numpy()
  for fold in range(5):
    rows = sides.train_FxN[fold, :sides.trains_F[fold]]
    assert np.ptp(np.bincount(labels[fold, rows])) <= 1
    assert max(accuracy[labels[fold] == 0]) < min(accuracy[labels[fold] == 1])
  with pytest.raises(errors.Wrong, match='has classes already'):
    targets.choose(members, 'optimizer', bins=3)
  with pytest.raises(errors.Wrong, match='at most 12'):
    targets.choose(members, 'test_accuracy', bins=20)


def test_an_epoch_is_read_from_single_snapshots(plant, settle):
  zoo = plant(networks=30)
  request = requests.make(zoo, 'epoch', settle())
  assert len(request.members) == 90 and request.snapshots == 1
  source = running.load(request)
  for row, member in enumerate(request.members.itertuples()):
    np.testing.assert_array_equal(
        source.weights_MxExP[row, 0],
        zoo.weights_MxExP[member.id, member.epoch])
  train, test = (set(request.members['id'].iloc[rows[0]]) for rows in (
      request.sides.train_FxN, request.sides.test_FxN))
  assert not train & test


def test_pairs_lie_on_one_side_and_are_even(plant):
  zoo = plant(replicates=3)
  pairs, rows = targets.pair(zoo.members, 0)
  assert pairs['same_setting'].mean() == 0.5 and len(pairs) == 2 * 20 * 3
  setting, fold = (zoo.members[c].to_numpy()[rows]
                   for c in ('setting', 'fold'))
  np.testing.assert_array_equal(
      setting[:, 0] == setting[:, 1], pairs['same_setting'])
  assert (fold[:, 0] == fold[:, 1]).all()
  np.testing.assert_array_equal(rows[:, 1], pairs['other'])
  with pytest.raises(errors.Wrong, match='replicates=2'):
    targets.pair(plant().members, 0)


@pytest.mark.soak
def test_networks_of_one_setting_are_told(plant, settle):
  def read(alike):
    zoo = plant(networks=80, replicates=2, epochs=1, effect=0.0, alike=alike)
    request = requests.make(zoo, 'same_setting', settle(
        steps=300, windows_per_network=4, window=80))
    return answer.run(request, running.load(request), lambda *at: None)[0]
  assert read(0.98)['per_network']['interval'][0] > 0.6
  assert read(0.0)['per_network']['interval'][0] < 0.5


def test_select_leaves_out_and_counts(plant):
  members = plant().members
  members.loc[:4, 'status'] = 'diverged'
  kept, left = targets.select(members, 'optimizer', diverged=False,
                              min_accuracy=0.3, balance=True)
  assert left['diverged'] == 5 and (kept['status'] != 'diverged').all()
  assert kept['test_accuracy'].min() >= 0.3 and left['min_accuracy'] > 0
  assert kept['optimizer'].value_counts().nunique() == 1
  able = members[(members['status'] != 'diverged')
                 & (members['test_accuracy'] >= 0.3)]
  for level, rows in kept.groupby('optimizer'):  # the first ones by id
    same = able['id'][able['optimizer'] == level]
    assert sorted(rows['id']) == sorted(same)[:len(rows)]
  assert len(kept) + sum(left.values()) == len(members)
  everyone, left = targets.select(members, 'optimizer', diverged=True,
                                  min_accuracy=0.0, balance=False)
  assert len(everyone) == len(members) and not left


@pytest.mark.parametrize('key, value, words', [
    ('classifier', 'tree', 'auto, majority'), ('epochs', '8-9', 'first:last'),
    ('batch_size', 0, 'whole numbers from 1'), ('min_accuracy', 2.0, 'below 1'),
    ('learning_rate', float('nan'), 'finite numbers'),
    ('passes', 3, 'exactly one')])
def test_settings_name_the_key_that_is_wrong(settle, key, value, words):
  with pytest.raises(errors.Wrong, match=f'{key}=.*{words}'):
    settle(**{key: value})


@pytest.mark.parametrize('wanted, epochs', [
    ('last', (3,)), ('all', (0, 1, 2, 3)), ('1:2', (1, 2)), ('2', (2,))])
def test_epochs(plant, wanted, epochs):
  assert set(reading.choose_epochs(plant(epochs=4), [0, 1], wanted).values()
             ) == {epochs}


def test_epochs_and_windows_that_are_not_there_are_refused(plant):
  zoo = plant()
  with pytest.raises(errors.Wrong, match='epochs=7.*0, 1, 2'):
    reading.choose_epochs(zoo, [0, 1], '7')
  with pytest.raises(errors.Wrong, match='window=161 does not fit.*160'):
    reading.choose_window(zoo.members, 161)
  assert reading.choose_window(zoo.members, 160) == 160
  assert reading.choose_window(zoo.members, 0) == 160
  mixed = zoo.members.assign(architecture=['a', 'b'] * 30, num_weights=92_868)
  assert reading.choose_window(mixed, 0) == 5000


def test_the_layout_names_every_value(plant):
  zoo = plant()
  parts, layout, names = reading.read_layout(zoo.layers, zoo.members)
  assert parts.shape == (1, 160) and set(layout) == {0}
  assert (np.diff(parts[0]) >= 0).all()
  for row in zoo.layers.itertuples():
    assert {names[i] for i in parts[0, row.start:row.stop]} == {
        (row.layer, row.tensor)}


def test_presets_are_settings():
  from configs import meta as presets
  for preset in presets.PRESETS:
    settings.from_config(presets.get_config(preset))
  with pytest.raises(errors.Wrong, match='default, smoke, published'):
    presets.get_config('nothing')


def test_the_published_preset_is_that_of_sections_13_and_16():
  from configs import meta as presets
  made = settings.from_config(presets.get_config('published'))
  page = (pathlib.Path(__file__).parents[2] / 'docs' / 'recipe.md').read_text()
  told = dict(re.findall(  # the right half of the table of section 16
      r'^\|.*\|.*\| (.*) \| (.*) \|$', page.split('\n## 16.')[1], re.M))
  assert told['batch_size'] == str(made.batch_size)
  assert float(told['learning_rate']) == made.learning_rate
  assert told['epochs'] == str(made.passes) and not made.steps
  assert told['slice_length, K, P'] == f'{made.window}, 20,20, 100'
  assert made.epochs == 'last'  # K = 20,20
  assert (made.classifier, made.balance, made.members) == ('cnn', True, 1)
  assert f'| {made.windows_per_network} evenly spaced slices' in page
  rounds = made.passes * 12_000 // (made.batch_size * made.round_steps)
  assert made.patience > rounds  # no early selection


def test_chances_are_those_of_section_14():
  """A share of the levels, and what the best constant errs by."""
  page = (pathlib.Path(__file__).parents[2] / 'docs' / 'recipe.md').read_text()
  rows = dict(re.findall(r'^\| (.*) \| (.*) \|$',
                         page.split('\n## 14.')[1].split('\n## 15.')[0], re.M))
  told = {name: cell for names, cell in rows.items()
          for name in names.split(', ')}
  for p in published.PROPERTIES:
    if p.continuous:
      low, high = p.choices
      assert told['lrate'] == (
          f'best constant {(low + high) / 2:.4f}, mean absolute error '
          f'{(high - low) / 4:.4f}')
    elif len(p.choices) == 1:
      assert told[p.name].startswith('undefined: one class')
    else:
      assert told[p.name] == f'{round(100 / len(p.choices), 1):g} %'


def test_settings_that_are_equal_in_every_property_are_one(plant):
  """With few levels many settings are drawn twice: they differ in nothing."""
  rng = np.random.default_rng(0)
  members = plant(networks=80, replicates=2).members.assign(
      learning_rate=0.001, optimizer='adam')
  members['augmentation'] = rng.integers(0, 2, 40).astype(bool)[
      members['setting']]
  pairs, rows = targets.pair(members, 0)
  augmented_Mx2 = members['augmentation'].to_numpy()[rows]
  np.testing.assert_array_equal(
      augmented_Mx2[:, 0] == augmented_Mx2[:, 1], pairs['same_setting'])
  fold_Mx2 = members['fold'].to_numpy()[rows]
  assert (fold_Mx2[:, 0] == fold_Mx2[:, 1]).all()
  assert (rows[:, 0] != rows[:, 1]).all()
  members['augmentation'] = False  # then all are of one
  with pytest.raises(errors.Wrong, match='replicates=2'):
    targets.pair(members, 0)
  many = members.iloc[np.arange(2000) % 80]
  with pytest.raises(errors.Wrong, match='pairs of these.*fewer replicates'):
    targets.pair(many, 0)


def test_a_class_is_counted_in_settings(plant):
  members = plant(networks=80, replicates=8).members.assign(optimizer='adam')
  members.loc[members['setting'] == 3, 'optimizer'] = 'momentum'
  with pytest.raises(errors.Wrong, match='1 settings have momentum, at lea'):
    targets.choose(members, 'optimizer')


def test_a_class_that_a_fold_never_saw_is_named(plant, settle):
  zoo = plant(networks=100, effect=1.0)
  rare = zoo.members['id'][zoo.members['fold'].isin((1, 2))][:8]
  zoo.members['optimizer'] = 'adam'
  zoo.members.loc[rare, 'optimizer'] = 'rmsprop'
  request = requests.make(zoo, 'optimizer', settle())
  untaught = sum(
      bool(rare.isin(te[:n]).any() and not rare.isin(tr[:m]).any())
      for tr, m, te, n in zip(
          request.sides.train_FxN, request.sides.trains_F,
          request.sides.test_FxN, request.sides.tests_F))
  assert untaught == 1  # fold 1, for fold 2 validates it
  said, = targets.warn(request.target, request.sides)
  assert 'rmsprop is tested in 1 of 5 splits whose models never saw' in said
  assert not targets.warn(*(lambda r: (r.target, r.sides))(
      requests.make(plant(), 'optimizer', settle())))


@pytest.mark.parametrize('name', [
    'id', 'unit', 'setting', 'replicate', 'seed', 'split', 'fold', 'status',
    'seconds'])
def test_what_says_how_a_zoo_is_kept_is_no_target(plant, name):
  with pytest.raises(errors.Wrong, match=f'target={name}.*allowed: dataset'):
    targets.check_name(plant().members.assign(
        unit=0, replicate=0, seed=0, seconds=0.5), name)


@pytest.mark.parametrize('name', ['learning_rate', 'test_accuracy', 'epoch'])
def test_a_number_is_not_balanced_but_its_bins_are(plant, settle, name):
  with pytest.raises(errors.Wrong, match=f'{name} is a number.*--bins=3'):
    requests.make(plant(), name, settle(balance=True))
  request = requests.make(plant(), name, settle(balance=True, bins=3))
  counts = [np.bincount(labels_M[rows[:n]]) for labels_M, rows, n in zip(
      request.target.label(request.sides), request.sides.train_FxN,
      request.sides.trains_F)]
  assert name == 'epoch' or max(map(np.ptp, counts)) <= 1

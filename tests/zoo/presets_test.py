"""The published populations against docs/recipe.md, read as it stands there."""

import collections
import pathlib
import re

import pytest

from configs import zoo as presets
from nws_jax import published as networks
from nws_jax.zoo import images, opening, plan, recipe

RECIPE = (pathlib.Path(__file__).parents[2] / 'docs' / 'recipe.md').read_text()
# How the recipe writes what we call otherwise.
WORDS = {
    'svhn': 'svhn_cropped', 'fashion': 'fashion_mnist', 'Adam': 'adam',
    'RMSProp': 'rmsprop', 'ReLU': 'relu', 'ELU': 'elu', 'off': False,
    'on': True, 'Glorot uniform': 'glorot_uniform',
    'Glorot normal': 'glorot_normal'}
NAMES = {'lrate': 'learning_rate'}


def table(section):
  """Rows of the first table of a section, as lists of cells."""
  text = re.search(rf'^## {section}\. .*?(?=^## |\Z)', RECIPE, re.M | re.S)[0]
  lines = re.search(r'(^\|.*\n)+', text, re.M)[0].splitlines()
  return [[c.strip() for c in line.strip('|').split('|')]
          for line in lines if not re.fullmatch(r'[|:\- ]+', line)]


def read(text):
  """One value of section 2 as a config has it."""
  if re.fullmatch(r'[\d.]+', text):
    return float(text) if '.' in text else int(text)
  return WORDS.get(text, text)


def published():
  """{property: (choices of main, choices of the fixed net)}."""
  result = {}
  for _, column, values, _, fixed in table(2)[1:]:
    name = NAMES.get(column, column)
    if 'always on' in values:
      choices = (True,)
    elif span := re.search(r'\[([\d.]+), ([\d.]+)\]', values):
      choices = tuple(map(float, span.groups()))
    else:
      values = re.sub(r' \(.*\)| layers| hidden layers.*', '', values)
      choices = tuple(read(v) for v in values.split(', '))
    result[name] = choices, (
        choices if fixed == 'random' else (read(fixed),))
  return result


def load(preset, **changes):
  config = presets.get_config(preset)
  config.update(changes)
  return recipe.from_config(config)


@pytest.mark.parametrize('preset, column', [('main', 0), ('fixed', 1)])
def test_choices_are_those_of_section_2(preset, column):
  wanted = {name: c[column] for name, c in published().items()}
  assert list(wanted) == [p.name for p in networks.PROPERTIES]
  got = dict(load(preset).choices)
  assert got.pop('weight_decay') == (0.0,)  # section 3: there is none
  assert got.pop('dropout') == (0.5,)  # section 3: keep 0.5
  assert got == wanted
  assert load(preset).sampling == 'independent' and (
      'Every draw is independent and uniform' in RECIPE)
  # Section 2 speaks of words that the table of properties has as its choices.
  assert {n: c for n, (c, _) in published().items()} == {
      p.name: p.choices for p in networks.PROPERTIES}


def test_sizes_are_those_of_section_1():
  rows = {row[0]: row[1:3] for row in table(1)[1:]}
  assert rows['networks'] == ['3,000', '13,000'] == [
      f'{load(p).networks:,}' for p in ('fixed', 'main')]
  assert [load(p).keep for p in ('fixed', 'main')] == [
      int(n) for n in rows['snapshots per network']]
  fixed, main = recipe.rows(load('fixed')), recipe.rows(load('main'))
  assert {r['num_weights'] for r in fixed} == {92_868}
  assert rows['values per network'][0] == '92,868'
  assert {r['num_weights_conv'] for r in fixed} == {16_880}
  sizes = [r['num_weights'] for r in main]
  assert (min(sizes), max(sizes)) == (21_260, 388_172)
  assert '21,260' in rows['values per network'][1]
  assert '388,172' in rows['values per network'][1]
  assert len({r['architecture'] for r in main}) == 243
  assert len({plan.group(r) for r in main}) == 4 * 243
  assert '243 possible' in rows['architecture'][1]


def test_the_ends_of_the_space_are_those_of_section_1():
  for values, size in (((5, 3, 2, 8, 128), 92_868), ((3, 3, 2, 4, 64), 21_260),
                       ((7, 5, 4, 12, 192), 388_172)):
    assert networks.layout(networks.Architecture(*values)).num_weights == size


@pytest.mark.parametrize('preset', ['fixed', 'main'])
def test_training_is_that_of_sections_7_to_10(preset):
  r = load(preset)
  assert r.lr_decay == 0.96 and 'lr · 0.96^floor' in table(7)[1][1]
  assert r.eval_bn == 'running' and not r.eval_augmentation  # section 17
  assert set(dict(r.choices)['dataset']) == {
      WORDS.get(n, n) for row in table(8)[1:] for n in row[0].split(', ')}
  assert set(dict(r.choices)['dataset']) == set(images.SOURCES['tfds'])
  assert r.dataset_source == 'tfds'
  rules = {row[0]: row for row in table(10)[1:]}
  assert rules['drops'][2] == f'{r.early_stopping} (`early_stopping`)'
  assert r.epochs == 1000 and 'floor(1000·N/B)' in RECIPE
  assert r.keep == 20 and f'round(linspace(1, T, {r.keep}))' in RECIPE
  largest = max(int(row[3].replace(',', '')) for row in table(8)[1:])
  assert r.test_part == largest  # all test images are looked at every epoch
  assert r.replicates == 1


def test_no_network_of_one_shares_its_draws_with_one_of_the_other():
  assert load('fixed').seed != load('main').seed


def test_draws_are_uniform_at_full_size():
  rows = recipe.rows(load('main'))
  for name, (choices, _) in published().items():
    values = [row[name] for row in rows]
    if name == 'learning_rate':
      low, high = choices
      values = [int(10 * (v - low) / (high - low)) for v in values]
      choices = range(10)
    counts = collections.Counter(values)
    assert set(counts) == set(choices)
    expected = len(rows) / len(choices)
    for level in choices:  # five standard deviations
      assert abs(counts[level] - expected) < 5 * expected ** 0.5, name


def test_a_part_of_main_runs_on_the_embedded_sets():
  r = load('main', dataset_source='embedded', networks=64, epochs=3,
           datasets=('fashion_mnist,mnist',))
  rows = recipe.rows(r)
  assert len(rows) == 64
  assert {row['dataset'] for row in rows} == {'fashion_mnist', 'mnist'}
  assert {row['batch_size'] for row in rows} == {32, 64, 128, 256}
  each = {name: images.an_epoch(images.load(name)) for name in
          ('fashion_mnist', 'mnist')}
  opening.check_sizes(dict(r.choices)['batch_size'], each)
  whole = recipe.rows(load('main'))[:64]  # and they are networks of main
  for row, other in zip(rows, whole):
    other |= {'epochs': 3, 'dataset': row['dataset']}
    assert row == other

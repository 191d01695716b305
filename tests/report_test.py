"""The report as a command, on a made zoo written by the store itself."""

import csv
import html.parser
import json
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from nws_jax import errors, published, report, space
from nws_jax.store import folder, moment, whole
from nws_jax.zoo import recipe

_ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope='module')
def zoo(tmp_path_factory):
  """24 networks on two sets, three evaluations each, one diverged."""
  path = tmp_path_factory.mktemp('made') / 'zoo'
  path.mkdir()
  rng = np.random.default_rng(5)
  choices = {p.name: p.choices[:1] for p in published.ALL}
  choices.update(dataset=('mnist', 'digits'), learning_rate=(0.001, 0.004),
                 optimizer=('adam', 'rmsprop'))
  members, metrics = [], []
  for i, row in enumerate(space.sample(published.ALL, 0, range(24), choices)):
    split, fold = space.side(0, i)
    arch = published.architecture(row)
    diverged = i == 7
    accuracy = None if diverged else float(rng.uniform(0.08, 0.95))
    members.append({
        'id': i, 'unit': 'u0', 'setting': i, 'replicate': 0, 'seed': 0,
        'split': split, 'fold': fold, **row,
        'status': 'diverged' if diverged else 'finished',
        'architecture': arch.name, 'lr_decay': 1.0, 'epochs': 2,
        'evaluations': 3, 'last_step': 20, 'seconds': 1.0,
        'diverged_epoch': 2 if diverged else None,
        'num_weights': published.layout(arch).num_weights,
        'num_weights_conv': published.layout(arch).num_weights_conv,
        'train_accuracy': accuracy, 'valid_accuracy': accuracy,
        'test_accuracy': accuracy})
    metrics += [{
        'id': i, 'epoch': e, 'step': 10 * e, 'snapshot': e, 'train_loss': None,
        'train_accuracy': None, 'valid_loss': 1.0, 'valid_accuracy': 0.5,
        'test_loss': 1.0, 'test_accuracy': float(rng.uniform(0.1, 0.9))}
                for e in range(3)]
  folder.commit(path, 'u0', folder.Entry(
      2, True, members, metrics, [published.layout(arch)], {}))
  whole.rebuild(path)
  (path / 'config.json').write_text(json.dumps(
      {'seed': 0, 'dataset_source': '<b>embedded</b>'}))
  return path


@pytest.fixture
def meta(zoo, tmp_path):
  """Two results and a grid."""
  about = {'zoo': {'path': str(zoo),
                   'digest': moment.read(zoo).checksums['zoo']}, 'config': {}}
  result = {
      'target': 'optimizer', 'kind': 'classification', 'classifier': 'cnn',
      'classes': ['adam', 'rmsprop'], 'chance': 0.5,
      'confusion': [[9, 2], [3, 9]],
      'per_network': {'accuracy': 0.7826, 'interval': [0.5809, 0.9034],
                      'networks': 23}, 'controls': {}, **about}
  regression = {
      'target': 'learning_rate', 'kind': 'regression', 'classifier': 'cnn',
      'r2': {'value': 0.41, 'interval': [-0.07, 0.6]}, **about}
  for data in (result, regression):
    path = tmp_path / 'meta' / data['target'] / 'a'
    path.mkdir(parents=True)
    (path / 'result.json').write_text(json.dumps(data))
  (path / 'predictions.csv').write_text(
      'id,true,predicted\n0,0.001,0.002\n1,0.004,0.003\n')
  path = tmp_path / 'meta' / 'optimizer' / 'b'
  path.mkdir()
  (path / 'ablation.json').write_text(json.dumps(
      {'target': 'optimizer', 'classifier': 'cnn', 'axes': ['layer', 'epoch'],
       **about}))
  (path / 'ablation.csv').write_text(
      'layer,epoch,window,value,low,high,chance,above_chance,networks\n'
      'fc1,0,100,0.5,0.3,0.7,0.5,False,23\nfc1,1,100,0.9,0.8,1,0.5,True,23\n')
  return tmp_path / 'meta'


class _Tables(html.parser.HTMLParser):
  """{caption: rows of texts} of a page."""

  def __init__(self, text):
    super().__init__()
    self.tables, self.rows, self.cell, self.caption = {}, [], None, ''
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    if tag == 'tr':
      self.rows.append([])
    if tag in ('th', 'td', 'caption'):
      self.cell = ''

  def handle_data(self, data):
    if self.cell is not None:
      self.cell += data

  def handle_endtag(self, tag):
    if tag == 'caption':
      self.caption = self.cell
    if tag in ('th', 'td'):
      self.rows[-1].append(self.cell)
    if tag in ('th', 'td', 'caption'):
      self.cell = None
    if tag == 'table':
      self.tables[self.caption], self.rows = self.rows, []

  def find(self, start):
    """The first table whose caption starts so."""
    return next(t for c, t in self.tables.items() if c.startswith(start))


def _run(*args):
  return subprocess.run(
      [sys.executable, *args], cwd=_ROOT, capture_output=True, text=True,
      env={**os.environ, 'PYTHONPATH': str(_ROOT)})


def test_the_command_writes_one_page_with_all_of_it(zoo, meta, tmp_path):
  out = tmp_path / 'out'
  done = _run('-m', 'nws_jax.report', f'--zoo={zoo}', f'--meta={meta}',
              f'--out={out}')
  assert done.returncode == 0, done.stderr
  assert done.stderr == '' and str(out / 'index.html') in done.stdout
  assert len(done.stdout.splitlines()) == 1
  text = (out / 'index.html').read_text()
  # Neither controls nor transfer nor an explanation, and so no map.
  assert text.count('class="missing"') == 4
  assert 'read from another zoo' not in text
  assert '<b>embedded' not in text and '&lt;b&gt;embedded' in text
  assert not re.search(r'(src|href)="(?!#|data:)', text)
  assert not re.search(r'url\(|@import|<script|<link', text)
  assert {p.suffix for p in out.iterdir()} == {'.html', '.png', '.csv'}
  assert text.count('<img ') == len(list(out.glob('*.png')))


def test_numbers_of_the_page_are_those_of_the_tables(zoo, meta):
  page = _Tables(report.make_page(zoo, meta)['index.html'].decode())
  with open(zoo / 'members.csv', newline='') as f:
    members = list(csv.DictReader(f))

  table = page.find('Test accuracy by value')
  column = table[0].index('median')
  for value in ('mnist', 'digits'):
    row, = [r for r in table if r[1] == value]
    mine = [m for m in members if m['dataset'] == value]
    reached = [float(m['test_accuracy']) for m in mine if m['test_accuracy']]
    assert row[2] == str(len(mine))
    assert row[column] == f'{100 * statistics.median(reached):.1f} %'

  table = page.find('Coverage')
  everyone = dict(zip(table[0], table[1]))
  for split in ('train', 'valid', 'test'):
    assert everyone[split] == str(sum(m['split'] == split for m in members))
  assert everyone['diverged'] == '1' and everyone['finished'] == '23'

  rows = [r for caption, rows in page.tables.items()
          if caption.startswith('Read from') for r in rows[1:]]
  assert rows == [
      ['optimizer', 'cnn', '78.3 %', '58.1 %', '90.3 %', '50.0 %', '● yes',
       '23'],
      ['learning_rate', 'cnn', '0.410', '-0.070', '0.600', '0.000', '○ no']]


@pytest.mark.filterwarnings('ignore:.*load_module:DeprecationWarning')
def test_the_command_shown_asks_for_the_same_zoo(monkeypatch):
  def ask(*args):
    args = ['', f'--config={_ROOT}/configs/zoo.py', *args]
    monkeypatch.setattr(sys, 'argv', args)  # ml_collections looks there
    values = flags.FlagValues()
    config = config_flags.DEFINE_config_file('config', flag_values=values)
    values(args)
    return recipe.from_config(config.value)

  asked = ask('--config.networks=31', '--config.batch_size=16,64',
              '--config.learning_rate=0.001', '--config.augmentation=True',
              '--config.data_dir=/a b')
  kept = ask('--config.keep=20', '--config.disk_gb=3')
  assert asked != ask()

  def show(asked):
    record = {**asked.record(), 'images': {'digits': '0'}, 'versions': {},
              'revision': 'abc', 'created': '2026'}
    shown = report._list_commands(
        pathlib.Path('runs/zoo'), pathlib.Path('runs/meta'), record, [])[0]
    return [x for x in shlex.split(shown) if x.startswith('--config.')]

  assert ask(*show(asked)) == asked and len(show(asked)) == 5
  assert show(kept) == ['--config.keep=20']  # the disk changes no draw


def test_what_is_missing_names_the_command_that_makes_it(zoo, tmp_path):
  text = report.make_page(zoo, tmp_path / 'none')['index.html'].decode()
  text = re.sub('</?span>', '', text)
  command = f'python -m nws_jax.meta --zoo={zoo} --workdir={tmp_path / "none"}'
  assert f'{command} --target=optimizer\n' in text
  assert f'{command} --target=optimizer --ablate=layer,epoch\n' in text


def test_results_of_another_zoo_are_shown_with_a_warning(zoo, meta):
  path = meta / 'optimizer' / 'a' / 'result.json'
  data = json.loads(path.read_text())
  data['zoo']['digest'] = 'other'
  path.write_text(json.dumps(data))
  text = report.make_page(zoo, meta)['index.html'].decode()
  assert 'read from another zoo' in text and '78.3 %' in text


def _add(meta, name, accuracy, **config):
  """Another reading of the optimizer, and another grid."""
  data = json.loads((meta / 'optimizer' / 'a' / 'result.json').read_text())
  data['per_network'] = {'accuracy': accuracy, 'networks': 23, 'interval': [
      accuracy - 0.1, accuracy + 0.1]}
  path = meta / 'optimizer' / name
  path.mkdir()
  (path / 'result.json').write_text(json.dumps({**data, 'config': config}))
  grid = meta / 'optimizer' / f'{name}_grid'
  grid.mkdir()
  about = json.loads((meta / 'optimizer' / 'b' / 'ablation.json').read_text())
  (grid / 'ablation.json').write_text(json.dumps({**about, 'config': config}))
  (grid / 'ablation.csv').write_text(
      (meta / 'optimizer' / 'b' / 'ablation.csv').read_text().replace(
          'fc1', 'output'))


@pytest.mark.parametrize('name', ('0', 'z'))
def test_a_later_narrower_reading_stands_beside_the_default_one(
    zoo, meta, name):
  table = report.make_table(zoo, meta)
  headline = report.make_headline(zoo, meta)
  _add(meta, name, 0.45, epochs='0')
  assert report.make_table(zoo, meta) == table
  assert report.make_headline(zoo, meta) == headline
  text = report.make_page(zoo, meta)['index.html'].decode()
  assert 'Not above chance: learning rate.' in text  # but the optimizer is
  page = _Tables(text)
  assert page.find('Read from networks')[1][:3] == [
      'optimizer', 'cnn', '78.3 %']
  head, row = page.find('Other readings')
  row = dict(zip(head, row))
  assert (row['settings'], row['value'], row['above chance']) == (
      'epochs=0', '0.450', '○ no')
  assert f'optimizer, cnn, epochs=0 ({name}_grid)' in text


def test_without_a_default_reading_the_page_says_what_differs(zoo, meta):
  path = meta / 'optimizer' / 'a' / 'result.json'
  path.write_text(json.dumps(
      {**json.loads(path.read_text()), 'config': {'epochs': '0'}}))
  assert '| epochs=0 |' in report.make_table(zoo, meta).decode()
  page = _Tables(report.make_page(zoo, meta)['index.html'].decode())
  rows = page.find('Read from networks')
  assert dict(zip(*rows))['settings'] == 'epochs=0'


def test_what_is_not_finished_is_named_and_left_out(zoo, meta, tmp_path):
  grid = meta / 'optimizer' / 'b'
  (grid / 'ablation.json').unlink()  # as a killed process left it
  (meta / 'optimizer' / 'c.part' / 'model').mkdir(parents=True)
  (meta / 'optimizer' / 'c.part' / 'result.json').write_text('{')
  done = _run('-m', 'nws_jax.report', f'--zoo={zoo}', f'--meta={meta}',
              f'--out={tmp_path / "out"}')
  assert done.returncode == 0, done.stderr
  lines = done.stderr.splitlines()
  assert [line.split()[0] for line in lines] == [
      str(grid), str(meta / 'optimizer' / 'c.part')]
  assert all('left out' in line for line in lines)


def test_a_default_folder_that_is_not_there_is_said(zoo, tmp_path):
  done = subprocess.run(
      [sys.executable, '-m', 'nws_jax.report', f'--zoo={zoo}'], cwd=tmp_path,
      capture_output=True, text=True,
      env={**os.environ, 'PYTHONPATH': str(_ROOT)})
  assert done.returncode == 0, done.stderr
  assert done.stderr == 'runs/meta does not exist: no results are shown\n'
  assert (tmp_path / 'runs' / 'report' / 'index.html').exists()


def test_what_is_asked_wrongly_or_damaged_has_its_exit_code(
    zoo, meta, tmp_path):
  with pytest.raises(errors.Wrong, match='none'):
    report.make_page(tmp_path / 'none', meta)
  (meta / 'optimizer' / 'a' / 'result.json').write_text('{')
  for code, args in ((2, [f'--zoo={tmp_path}']),
                     (2, [f'--zoo={zoo}', f'--meta={tmp_path / "none"}']),
                     (2, [f'--zoo={zoo}', '--meta=']),
                     (2, [f'--zoo={zoo}', f'--out={zoo / "config.json"}']),
                     (2, [f'--zoo={zoo}', '--headline=a.jpg']),
                     (2, [f'--zoo={zoo}', '--table=a.png']),
                     (1, [f'--zoo={zoo}', f'--meta={meta}'])):
    done = _run('-m', 'nws_jax.report', f'--out={tmp_path / "out"}', *args)
    assert done.returncode == code, (args, done.stderr)
    assert len(done.stderr.splitlines()) == 1, done.stderr
  assert 'result.json' in done.stderr
  assert not list((tmp_path / 'out').glob('*'))


def test_help_is_quick_and_no_jax_is_imported(zoo, meta, tmp_path):
  start = os.times()
  done = _run('-m', 'nws_jax.report', '--help')
  assert done.returncode == 0 and '--headline' in done.stdout
  end = os.times()  # the work of it: the machine may be busy
  assert (end.children_user + end.children_system
          - start.children_user - start.children_system) < 2
  done = _run('-c', f'''
import pathlib, sys
from nws_jax import report
assert 'pandas' not in sys.modules and 'matplotlib' not in sys.modules
report.make_page(pathlib.Path({str(zoo)!r}), pathlib.Path({str(meta)!r}))
report.make_headline(pathlib.Path({str(zoo)!r}), pathlib.Path({str(meta)!r}))
assert 'jax' not in sys.modules
''')
  assert done.returncode == 0, done.stderr


def test_the_headline_is_one_picture_with_or_without_results(
    zoo, meta, tmp_path):
  path = tmp_path / 'new' / 'headline.png'
  done = _run('-m', 'nws_jax.report', f'--zoo={zoo}', f'--meta={meta}',
              f'--headline={path}')
  assert done.returncode == 0, done.stderr
  assert str(path) in done.stdout and path.read_bytes()[:4] == b'\x89PNG'
  bare = report.make_headline(zoo, tmp_path / 'none')
  assert bare != path.read_bytes()
  for name in ('optimizer/a/result.json', 'learning_rate/a/result.json',
               'optimizer/b/ablation.json'):
    data = json.loads((meta / name).read_text())
    (meta / name).write_text(json.dumps({**data, 'zoo': {'digest': 'other'}}))
  assert report.make_headline(zoo, meta) == bare

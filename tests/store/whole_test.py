import json
import os

import pandas as pd
import pytest

from nws_jax import errors, published
from nws_jax.store import folder, layers, moment, tables, whole
from tests.store import units


def test_merged_tables_are_the_units_tables(zoo):
  for n, name in enumerate(('members.csv', 'metrics.csv')):
    keys = ['id', 'epoch'][:n + 1]
    merged = moment.read(zoo).table(name)
    parts = pd.concat([folder.read_unit(zoo, u)[n] for u in folder.units(zoo)])
    pd.testing.assert_frame_equal(
        merged, parts.sort_values(keys).reset_index(drop=True))
    assert not merged.duplicated(keys).any()
  assert list(moment.read(zoo).table('members.csv')['id']) == [0, 1, 2, 3, 4]


def test_rebuilding_again_changes_nothing(zoo):
  names = ('members.csv', 'metrics.csv', 'layers.csv', 'checksums.json')
  before = [(zoo / name).read_bytes() for name in names]
  whole.rebuild(zoo)
  assert [(zoo / name).read_bytes() for name in names] == before
  for name in names:
    (zoo / name).unlink()
  whole.rebuild(zoo)
  assert [(zoo / name).read_bytes() for name in names] == before


LAYOUTS = {arch.name: published.layout(arch) for arch in units.ARCHS.values()}


def test_layers_are_those_of_the_layouts(zoo):
  table = moment.read(zoo).table('layers.csv')
  assert layers.read(table, 'x') == LAYOUTS
  kernel = table[table['shape'] == '5x5x3x2'].to_dict('records')[0]
  assert kernel['axes'] == '3x2x0x1' and kernel['part'] == 'convolution'
  table.loc[3, 'stop'] += 1
  with pytest.raises(errors.Damaged, match='x is damaged.* has a shape or'):
    layers.read(table, 'x')


def make_old(zoo):
  """What older versions wrote: six columns of layers, and on top alone."""
  for unit in units.ARCHS:
    path = zoo / 'units' / unit / 'progress.json'
    record = tables.read_json(path)
    record['tables'].pop('layers.csv', None)
    tables.write_json(path, record)
    (zoo / 'units' / unit / 'layers.csv').unlink(missing_ok=True)
  text = layers.cut((zoo / 'layers.csv').read_text())
  (zoo / 'layers.csv').write_text(text)
  checksums = whole.read_checksums(zoo)
  checksums['tables']['layers.csv'] = tables.hash_text(text)
  tables.write_json(zoo / 'checksums.json', checksums)


def test_layers_of_older_zoos_are_read_and_completed(zoo):
  digest = moment.read(zoo).checksums['zoo']
  make_old(zoo)
  found = moment.read(zoo)
  assert layers.read(found.table('layers.csv'), 'x') == LAYOUTS
  units.commit(zoo, 'u0', 4)  # a run goes on: the units are read
  make_old(zoo)
  assert layers.read(moment.read(zoo).table('layers.csv'), 'x') == LAYOUTS
  text = (zoo / 'layers.csv').read_text()
  (zoo / 'layers.csv').write_text(text.replace('3x3', '9x1'))
  with pytest.raises(errors.Damaged, match='layers.csv is damaged'):
    moment.read(zoo)
  for unit, arch in units.ARCHS.items():
    folder.complete(zoo, unit, [published.layout(arch)])
  (zoo / 'layers.csv').unlink()
  whole.rebuild(zoo)
  assert layers.read(moment.read(zoo).table('layers.csv'), 'x') == LAYOUTS
  units.commit(zoo, 'u0', 3)
  whole.rebuild(zoo)
  assert moment.read(zoo).checksums['zoo'] == digest


@pytest.mark.parametrize('unit, name', [
    ('u0', 'metrics.csv'), ('u0', 'members.csv'), ('u1', 'metrics.csv'),
    ('u1', 'members.csv'), ('u1', 'layers.csv')])
def test_changed_unit_tables_are_damaged(zoo, unit, name):
  path = zoo / 'units' / unit / name
  path.write_text(path.read_text().replace('7', '8'))
  for read in (whole.rebuild, lambda zoo: moment.verify(moment.read(zoo))):
    with pytest.raises(errors.Damaged, match=f'{unit}/{name} is damaged'):
      read(zoo)


def test_changed_records_are_damaged(zoo):
  moment.verify(moment.read(zoo))
  path = zoo / 'units' / 'u1' / 'progress.json'
  text = path.read_text()
  path.write_text(text.replace('1-2', '1-3'))
  with pytest.raises(errors.Damaged, match='progress.json is damaged: its che'):
    moment.verify(moment.read(zoo))
  record = json.loads(text.replace('1-2', '1-3'))
  del record['checksum']  # as older versions wrote it
  path.write_text(json.dumps(record))
  with pytest.raises(errors.Damaged, match='progress.json is damaged: its dig'):
    moment.verify(moment.read(zoo))
  for bad in ('{}', '{"round": 1}', text.replace('"round": 2', '"round": "x"'),
              text.replace('"digests": {', '"digests": 1, "x": {')):
    path.write_text(bad)
    with pytest.raises(errors.Damaged, match='progress.json is damaged'):
      folder.progress(zoo, 'u1')


@pytest.mark.parametrize('name', ['members.csv', 'metrics.csv', 'layers.csv'])
def test_changed_tables_are_damaged(zoo, name):
  path = zoo / name
  text = path.read_text()
  for bad in (text[:len(text) // 2], text.replace('1', '2'), ''):
    path.write_text(bad)
    with pytest.raises(errors.Damaged, match=f'{name} is damaged.*checksum'):
      moment.read(zoo).table(name)
  path.unlink()
  with pytest.raises(errors.Damaged, match=f'{name} is damaged: No such file'):
    moment.read(zoo).table(name)
  whole.rebuild(zoo)
  moment.read(zoo).table(name)
  (zoo / 'checksums.json').write_text('{"zoo": 1}')
  with pytest.raises(errors.Damaged, match='checksums.json is damaged'):
    moment.read(zoo).table(name)


@pytest.mark.parametrize(
    'file', ['members.csv', 'metrics.csv', 'checksums.json'])
def test_killed_within_a_rebuild_all_tables_are_readable(
    zoo, file, monkeypatch):
  """And so they are to who reads while a run writes them."""
  class Killed(BaseException):
    pass
  write = tables.write_text
  def write_until(path, text):
    if os.path.basename(path) == file:
      raise Killed
    write(path, text)
  units.commit(zoo, 'u0', 4)
  with monkeypatch.context() as m:
    m.setattr(tables, 'write_text', write_until)
    with pytest.raises(Killed):
      whole.rebuild(zoo)
  found = moment.read(zoo)
  assert found.table('metrics.csv')['epoch'].max() == 4
  assert found.table('members.csv')['evaluations'].tolist() == [5, 3, 3, 5, 5]
  assert found.records['u0']['round'] == 4
  whole.rebuild(zoo)
  assert moment.read(zoo) == found


def test_digest_leaves_times_out_and_nothing_else(zoo):
  def digest_of(**kwargs):
    units.commit(zoo, 'u0', 3, **kwargs)
    whole.rebuild(zoo)
    return moment.read(zoo).checksums['zoo']
  digest = digest_of()
  assert digest_of(of_members={'seconds': 2.0}) == digest
  assert moment.read(zoo).table('members.csv')['seconds'][0] == 2
  assert digest_of(done=True) == digest
  others = {digest_of(of_members={'dataset': 'x'}), digest_of(mark='x'),
            digest_of(of_metrics={'test_loss': 2.0})}
  assert len(others | {digest}) == 4


def test_what_is_no_zoo_is_wrong(tmp_path):
  with pytest.raises(errors.Wrong, match='none is no folder.*Make one with'):
    moment.check(tmp_path / 'none')
  with pytest.raises(errors.Wrong, match='it has no config.json. Make one'):
    moment.check(tmp_path)
  (tmp_path / 'config.json').write_text('{}')
  with pytest.raises(errors.Wrong, match='nothing in .* is finished yet'):
    moment.check(tmp_path)

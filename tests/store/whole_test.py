import json
import os

import pandas as pd
import pytest

from nws_jax import errors
from nws_jax.store import folder, moment, tables, vectors, whole
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


def test_layers_are_the_spans(zoo):
  layers = moment.read(zoo).table('layers.csv')
  for arch in units.ARCHS.values():
    found = layers[layers['architecture'] == arch.name]
    assert [tuple(r) for r in found.iloc[:, 1:].itertuples(index=False)] == [
        (s.layer, s.tensor, s.start, s.stop, 'x'.join(map(str, s.shape)))
        for s in vectors.spans(arch)]
  assert '5x5x3x2' in set(layers['shape'])


@pytest.mark.parametrize('unit, name', [
    ('u0', 'metrics.csv'), ('u0', 'members.csv'), ('u1', 'metrics.csv'),
    ('u1', 'members.csv')])
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

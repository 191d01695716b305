import json
import math
import os

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from nws_jax import errors
from nws_jax.store import schema, tables

COLUMNS = {'id': schema.WHOLE, 'unit': schema.WORD, 'loss': schema.REAL,
           'batch_norm': schema.FLAG, 'snapshot': schema.MAYBE}
words = st.text(st.characters(exclude_characters=',"').filter(str.isprintable))
rows = st.fixed_dictionaries({
    'id': st.integers(-2**63, 2**63 - 1), 'unit': words, 'loss': st.floats(),
    'batch_norm': st.booleans(),
    'snapshot': st.none() | st.integers(0, 10**9)})


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(table=st.lists(rows, max_size=5))
def test_what_was_written_is_read_bit_by_bit(table):
  text = tables.to_csv(table, COLUMNS)
  frame = tables.parse_csv(text, COLUMNS, 'x.csv')
  assert list(frame.columns) == list(COLUMNS)
  assert list(frame['id']) == [r['id'] for r in table]
  assert list(frame['unit']) == [r['unit'] for r in table]
  assert list(frame['batch_norm']) == [r['batch_norm'] for r in table]
  assert [None if s is pd.NA else s for s in frame['snapshot']] == [
      r['snapshot'] for r in table]
  for found, row in zip(frame['loss'], table):
    if math.isnan(row['loss']):
      assert math.isnan(found)
    else:
      assert np.float64(found).tobytes() == np.float64(row['loss']).tobytes()
  # A frame can be written again, to the same text.
  assert tables.to_csv(frame.to_dict('records'), COLUMNS) == text


def test_types_of_the_columns():
  frame = tables.parse_csv('id,unit,loss,batch_norm,snapshot\n', COLUMNS, 'x')
  assert [str(t) for t in frame.dtypes][::2] == ['int64', 'float64', 'Int64']
  assert frame['batch_norm'].dtype == bool
  assert pd.api.types.is_string_dtype(frame['unit'])


def test_float32_survives():
  value = np.float32(0.1)
  text = tables.to_csv([{'x': value}], {'x': schema.REAL})
  found = tables.parse_csv(text, {'x': schema.REAL}, 'x')['x'][0]
  assert np.float32(found) == value and found == float(value)


def test_words_like_missing_ones_stay_words():
  for word in ('', 'NA', 'nan', 'None', 'null', '1', 'True'):
    text = tables.to_csv([{'unit': word}], {'unit': schema.WORD})
    found = tables.parse_csv(text, {'unit': schema.WORD}, 'x')['unit'][0]
    assert found == word and isinstance(found, str)


@pytest.mark.parametrize('word', ['a,b', 'a\nb', '"a"', 'a\r', '\u2028'])
def test_words_that_would_break_a_table_are_refused(word):
  with pytest.raises(ValueError, match='cannot stand in a table'):
    tables.to_csv([{'unit': word}], {'unit': schema.WORD})


def test_columns_are_those_of_the_contract():
  assert ', '.join(schema.MEMBERS) == (
      'id, unit, setting, replicate, seed, split, fold, status, architecture, '
      'dataset, learning_rate, batch_size, batch_norm, augmentation, '
      'optimizer, activation, initialization, filter_size, depth_conv, '
      'depth_fc, width_conv, width_fc, weight_decay, dropout, lr_decay, '
      'epochs, evaluations, last_step, seconds, diverged_epoch, '
      'num_weights, num_weights_conv, train_accuracy, valid_accuracy, '
      'test_accuracy')
  assert ', '.join(schema.METRICS) == (
      'id, epoch, step, snapshot, train_loss, train_accuracy, valid_loss, '
      'valid_accuracy, test_loss, test_accuracy')
  assert ', '.join(schema.LAYERS) == (
      'architecture, layer, tensor, start, stop, shape, leaf, axes, part')


GOOD = 'id,unit,loss,batch_norm,snapshot\n1,u,0.5,True,\n2,u,,False,3\n'


@pytest.mark.parametrize('bad, why', [
    ('', 'cut off'),
    (GOOD[:-1], 'cut off'),
    (GOOD[:-5] + '\n', 'line 3 has 4 values, not 5'),
    (GOOD.replace(',loss', ''), 'columns'),
    (GOOD.replace('1,u', 'x,u'), 'invalid literal'),
    (GOOD.replace('1,u', ',u'), 'invalid literal'),
    (GOOD.replace('1,u', '1' * 30 + ',u'), 'large'),
    (GOOD.replace('0.5', 'half'), 'could not convert'),
    (GOOD.replace('True', 'yes'), 'yes'),
    (GOOD.replace('False,3', 'False,3.5'), 'invalid literal'),
])
def test_damaged_tables_are_named(tmp_path, bad, why):
  path = tmp_path / 'members.csv'
  path.write_text(GOOD)
  assert len(tables.read_csv(path, COLUMNS)) == 2
  path.write_text(bad)
  with pytest.raises(errors.Damaged, match=f'members.csv is damaged: .*{why}'):
    tables.read_csv(path, COLUMNS)


def test_checksums_are_compared(tmp_path):
  path = tmp_path / 'x.csv'
  tables.write_text(path, GOOD)
  tables.read_csv(path, COLUMNS, tables.hash_text(GOOD))
  path.write_text(GOOD.replace('0.5', '0.6'))  # still a table
  with pytest.raises(errors.Damaged, match='x.csv is damaged: its checksum'):
    tables.read_csv(path, COLUMNS, tables.hash_text(GOOD))


@pytest.mark.parametrize('text', ['', '{"a": 1', '[1]', 'null', '\x00'])
def test_damaged_records_are_named(tmp_path, text):
  path = tmp_path / 'x.json'
  tables.write_json(path, {'a': 1})
  assert tables.read_json(path) == {'a': 1}
  assert json.loads(path.read_text())['a'] == 1
  path.write_text(text)
  with pytest.raises(errors.Damaged, match='x.json is damaged'):
    tables.read_json(path)
  path.write_bytes(b'\xff\xfe')
  with pytest.raises(errors.Damaged, match='x.json is damaged'):
    tables.read_json(path)
  path.unlink()
  with pytest.raises(errors.Damaged, match='No such file'):
    tables.read_json(path)


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(st.integers(0), st.characters(codec='ascii'))
def test_a_record_changed_in_one_place_is_named_or_says_the_same(
    tmp_path_factory, place, other):
  path = tmp_path_factory.getbasetemp() / 'sealed.json'
  record = {'round': 10, 'ids': [1, 22], 'of': {'a-000': 'f3'}, 'x': 0.1}
  tables.write_json(path, record)
  text = path.read_text()
  place %= len(text)
  path.write_text(text[:place] + other + text[place + 1:])
  try:
    found = tables.read_json(path)
  except errors.Damaged:
    return
  assert {name: found[name] for name in record} == record


def test_records_of_older_versions_have_no_checksum(tmp_path):
  path = tmp_path / 'x.json'
  path.write_text('{"a": 1}')
  assert tables.read_json(path) == {'a': 1}


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / 'x.csv'
  tables.write_text(path, GOOD)
  def full(_):
    raise OSError(28, 'No space left on device')
  with monkeypatch.context() as m:
    m.setattr(os, 'fsync', full)
    with pytest.raises(errors.Damaged, match='No space left.*Make room'):
      tables.write_text(path, 'new')
  assert path.read_text() == GOOD
  assert os.listdir(tmp_path) == ['x.csv']


@hypothesis.given(st.integers(1, 2000), st.integers(2, 50))
def test_kept_evaluations_are_spread_from_first_to_last(count, keep):
  picked = schema.pick(count, keep)
  assert picked == np.round(
      np.linspace(0, count - 1, min(count, keep))).astype(int).tolist()
  assert len(picked) == len(set(picked)) == min(count, keep)
  assert picked[0] == 0 and picked[-1] == count - 1
  gaps = np.diff(picked)
  assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1
  assert schema.pick(count, 0) == list(range(count))


@hypothesis.given(st.integers(1, 2000))
def test_twenty_kept_are_those_the_published_reader_takes_errors_of(count):
  picked = schema.pick(count, 20)
  assert [n + 1 for n in picked] == np.round(
      np.linspace(1, count, min(count, 20))).astype(int).tolist()

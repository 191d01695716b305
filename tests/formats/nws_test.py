import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from nws_jax import errors, published, space
from nws_jax.formats import nws

ROW = {'dataset': 'svhn_cropped', 'learning_rate': 0.1 + 0.2,
       'batch_size': 128, 'batch_norm': True, 'augmentation': False,
       'optimizer': 'rmsprop', 'activation': 'tanh',
       'initialization': 'glorot_uniform', 'filter_size': 5, 'depth_conv': 3,
       'depth_fc': 2, 'width_conv': 8, 'width_fc': 128}
TEXT = ('dataset,lrate,batch_size,batch_norm,augmentation,optimizer,activation,'
        'initialization,filter_size,depth_conv,depth_fc,width_conv,width_fc\n'
        'svhn,0.30000000000000004,128,True,False,1,3,2,5,3,2,8,128\n')


def figures_of(valid, **others):
  return [{'epoch': e, 'step': 7 * e, 'train_accuracy': 0.5,
           'valid_accuracy': v, 'test_accuracy': 0.25, **others}
          for e, v in enumerate(valid)]


def test_codes_are_the_published_ones():
  assert list(nws.encode(ROW)) == TEXT.splitlines()[0].split(',')
  assert list(nws.encode(ROW).values()) == TEXT.splitlines()[1].split(',')


@hypothesis.given(st.integers(0, 10**6))
def test_decode_is_the_inverse(setting):
  choices = {p.name: p.choices if p.continuous or not p.others else p.words
             for p in published.ALL}
  row, = space.sample(published.ALL, 1, [setting], choices)
  cells = nws.encode(row)
  found = nws.decode(cells)
  assert found == {p.name: row[p.name] for p in published.PROPERTIES}
  assert [type(v) for v in found.values()] == [
      type(row[name]) for name in found]
  others = [n for n, v in (
      (p.name, word) for p in published.PROPERTIES for word in p.others)
      if row[n] == v]
  assert nws.unpublished(row) == others
  for name in others:
    assert cells[name] == row[name]


def test_what_the_format_has_no_column_for_is_named():
  row = {**ROW, 'weight_decay': 0.0, 'dropout': 0.5}
  assert nws.unwritten(row) == []
  assert nws.unwritten({**row, 'dropout': 0.25}) == ['dropout']
  assert nws.unwritten({**row, 'weight_decay': 1e-4}) == ['weight_decay']


@pytest.mark.parametrize('column, text', [
    ('dataset', 'pascal'), ('lrate', 'nan'), ('lrate', '-1'), ('lrate', ''),
    ('batch_size', '0'), ('batch_size', '3.5'), ('optimizer', '3'),
    ('optimizer', '-1'), ('activation', 'relu'),
    ('activation', 'swish'), ('augmentation', 'yes'),
    ('width_fc', str(2 ** 40))])
def test_other_values_are_named(column, text):
  with pytest.raises(ValueError, match=f'{column} is .{text}'):
    nws.decode({**nws.encode(ROW), column: text})


def test_a_yes_may_be_a_number():
  for text, value in (('1', True), ('0', False)):
    cells = {**nws.encode(ROW), 'augmentation': text}
    assert nws.decode(cells)['augmentation'] is value


def test_errors_by_hand():
  rows = figures_of([0.5, 0.75, 0.25])
  rows[0]['train_accuracy'] = float('nan')  # before any update
  np.testing.assert_array_equal(nws.list_errors(rows), [
      [0, np.nan, 50, 75, 50], [7, 50, 25, 75, 37.5],
      [14, 50, 75, 75, 56.25]])


def test_a_run_folder(tmp_path):
  weights_2x4 = np.array([[1, 2, 3, 4], [0.1, -1e-30, 1e30, 0]], np.float32)
  row = {**ROW, 'last_step': 7, 'seconds': 1.5}
  (tmp_path / '00007.part' / 'weights').mkdir(parents=True)  # of a killed run
  (tmp_path / '00007.part' / 'weights' / '009.bin').write_bytes(b'x')
  nws.write_run(str(tmp_path / '00007'), row, figures_of([0.5, 0.5]),
                weights_2x4)
  files = {str(p.relative_to(tmp_path)): p.read_bytes()
           for p in tmp_path.rglob('*') if p.is_file()}
  assert sorted(files) == [
      '00007/error.bin', '00007/meta.csv', '00007/stat.bin',
      '00007/weights/001.bin', '00007/weights/002.bin']
  assert files['00007/meta.csv'].decode() == TEXT
  for number in (1, 2):
    found = np.frombuffer(files[f'00007/weights/00{number}.bin'], 'float64')
    np.testing.assert_array_equal(found, weights_2x4[number - 1])
  np.testing.assert_array_equal(
      np.frombuffer(files['00007/stat.bin']), [2, 7, 1, 1.5])
  assert len(files['00007/error.bin']) == 2 * 5 * 8


def test_a_disk_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
  def full(path, data):
    raise OSError(28, 'No space left on device', path)
  monkeypatch.setattr(nws, '_write', full)
  with pytest.raises(errors.Damaged, match='No space left.*same command'):
    nws.write_run(str(tmp_path / '1'), {**ROW, 'last_step': 0, 'seconds': 0},
                  figures_of([0.5]), np.zeros((1, 4), np.float32))
  assert not (tmp_path / '1').exists()


def test_a_path_with_a_comma_stays_one_value():
  text = nws.split_csv([({**ROW, 'num_weights': 10, 'num_weights_conv': 4},
                         '/a, b/"c"/7')])
  assert text.splitlines()[1].endswith(',4,6,"/a, b/""c""/7"')

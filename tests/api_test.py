import dataclasses
import json
import os
import pickle
import re
import shutil
import sys

import numpy as np
import pytest

import nws_jax
from nws_jax import errors, published, space
from nws_jax.store import folder, schema, snapshots, stacks, tables, whole

ARCHS = {'u0': published.Architecture(3, 3, 2, 4, 16),
         'u1': published.Architecture(5, 4, 1, 2, 8)}
IDS = {'u0': (0, 3, 7), 'u1': (1, 2)}  # 4, 5, 6 are yet to be trained
EPOCHS = {'u0': (0, 1, 2), 'u1': (0, 2)}  # of which weights are kept


def weights_of(unit, epoch):
  rng = np.random.default_rng([len(IDS[unit]), epoch])
  size = len(IDS[unit]), published.layout(ARCHS[unit]).num_weights
  return rng.normal(size=size).astype(np.float32)


def vector_of(id, epoch):
  unit = 'u0' if id in IDS['u0'] else 'u1'
  return weights_of(unit, epoch)[IDS[unit].index(id)]


def write_unit(path, unit, done=True, only=None):
  """Commits a unit; its snapshots, or `only` one of them, first."""
  arch, writer = ARCHS[unit], snapshots.Writer()
  last = max(2, *EPOCHS[unit]) if done else max(EPOCHS[unit])
  for epoch in EPOCHS[unit] if only is None else (only,):
    stacks.save(writer, folder.snapshot_path(path, unit, epoch),
                weights_of(unit, epoch),
                [published.layout(arch)] * len(IDS[unit]))
  writer.wait()
  words = {schema.WORD: 'word', schema.WHOLE: 0, schema.FLAG: True,
           schema.MAYBE: None, schema.REAL: 0.5}
  members = [
      {name: words[kind] for name, kind in schema.MEMBERS.items()}
      | dataclasses.asdict(arch) | {
          'id': id, 'unit': unit, 'architecture': arch.name,
          'activation': space.ACTIVATIONS[id % 4],
          'num_weights': published.layout(arch).num_weights}
      for id in IDS[unit]]
  metrics = [
      {name: 0.5 for name in schema.METRICS} | {
          'id': id, 'epoch': epoch,
          'snapshot': epoch if epoch in EPOCHS[unit] else None}
      for id in IDS[unit] for epoch in range(last + 1)]
  folder.commit(path, unit, folder.Entry(
      last, done, members, metrics, [published.layout(arch)],
      {e: snapshots.digests(weights_of(unit, e)) for e in EPOCHS[unit]}))


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  path = tmp_path_factory.mktemp('runs') / 'zoo'
  path.mkdir()
  (path / 'config.json').write_text(json.dumps(
      {'dataset_source': 'embedded', 'data_dir': None}))
  for unit in ARCHS:
    write_unit(path, unit)
  whole.rebuild(path)
  return path


@pytest.fixture
def copy(path, tmp_path):
  return shutil.copytree(path, tmp_path / 'zoo')


def test_vectors_are_those_written(path):
  zoo = nws_jax.open_zoo(path)
  for unit, ids in IDS.items():
    for id in ids:
      assert zoo.epochs(id) == EPOCHS[unit]
      for epoch in EPOCHS[unit]:
        found = zoo.vector(id, epoch)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, vector_of(id, epoch))
  found = [zoo.vector(i, e) for u in IDS for i in IDS[u] for e in EPOCHS[u]]
  assert len({v.tobytes() for v in found}) == len(found) == 13


def test_variables_are_the_inverse(path):
  zoo = nws_jax.open_zoo(path)
  for id, unit in ((7, 'u0'), (2, 'u1')):
    variables = zoo.variables(id, 2)
    assert set(variables) == {'params', 'batch_stats'}
    np.testing.assert_array_equal(
        published.layout(ARCHS[unit]).to_vector(variables), zoo.vector(id, 2))


def test_windows_of_networks_of_several_units(path):
  zoo = nws_jax.open_zoo(path)
  ids, epochs = [2, 7, 1, 0, 7], [2, 0]
  for start, stop in ((0, 100), (93, 1234), (50, 50)):
    values_NxExL = zoo.vectors(ids, epochs, start, stop)
    assert values_NxExL.shape == (5, 2, stop - start)
    for i, id in enumerate(ids):
      for e, epoch in enumerate(epochs):
        np.testing.assert_array_equal(
            values_NxExL[i, e], vector_of(id, epoch)[start:stop])


def test_whole_vectors_of_one_length(path):
  zoo = nws_jax.open_zoo(path)
  ids = zoo.members[zoo.members['unit'] == 'u0']['id'][::-1]  # a pandas Series
  np.testing.assert_array_equal(
      zoo.vectors(ids, np.array([1])), weights_of('u0', 1)[::-1, None])
  assert zoo.vectors([], [0]).shape == (0, 1, 0)


def test_what_is_not_there_is_wrong(path):
  zoo = nws_jax.open_zoo(path)
  with pytest.raises(errors.Wrong, match='no network 5 in .*0 to 7'):
    zoo.vector(5, 0)
  with pytest.raises(errors.Wrong, match='network 1 after epoch 1.*kept: 0, 2'):
    zoo.vectors([0, 1], [0, 1], 0, 10)
  with pytest.raises(errors.Wrong, match='different lengths.*at most 4104'):
    zoo.vectors([0, 1], [0])
  for start, stop in ((0, 10**6), (-1, 5), (5, 3)):
    with pytest.raises(errors.Wrong, match='there are no values'):
      zoo.vectors([0], [0], start, stop)
  with pytest.raises(errors.Wrong, match="split='dev'.*train, test"):
    zoo.images('digits', 'dev')
  with pytest.raises(errors.Wrong):
    zoo.images('cifar11', 'train')
  with pytest.raises(errors.Wrong, match='is no folder'):
    nws_jax.open_zoo(path / 'none')


def test_tables(path):
  zoo = nws_jax.open_zoo(path)
  assert list(zoo.members['id']) == [0, 1, 2, 3, 7]
  assert len(zoo.metrics) == 15 and zoo.metrics is zoo.metrics
  assert set(zoo.layers['architecture']) == {a.name for a in ARCHS.values()}
  assert zoo.architecture(1) == ARCHS['u1']
  assert len(zoo.digest) == 64


def test_one_network_reads_nothing_of_the_others(copy):
  """Only what it needs is left in the folder."""
  shutil.rmtree(copy / 'snapshots' / 'u1')
  shutil.rmtree(copy / 'snapshots' / 'u0' / '0')
  shutil.rmtree(copy / 'units' / 'u1')
  zoo = nws_jax.open_zoo(copy)
  np.testing.assert_array_equal(zoo.vector(3, 2), vector_of(3, 2))
  with pytest.raises(errors.Damaged, match='u0/0 is damaged: it is not there'):
    zoo.vector(3, 0)


def test_verify_reads_everything(path):
  assert nws_jax.open_zoo(path).verify() == 13
  assert nws_jax.open_zoo(path).verify([2, 7]) == 5


def test_verify_reads_the_units_tables(copy):
  path = copy / 'units' / 'u0' / 'members.csv'
  path.write_text(path.read_text().replace('word', 'sword'))
  with pytest.raises(errors.Damaged, match='u0/members.csv is damaged'):
    nws_jax.open_zoo(copy).verify()


def test_changed_weights_are_named(copy):
  """Other weights in a healthy snapshot: only the record can tell."""
  weights_MxP = weights_of('u0', 1)
  weights_MxP.view(np.uint32)[1, 1000] ^= 1
  writer = snapshots.Writer()
  stacks.save(writer, copy / 'snapshots' / 'u0' / '1', weights_MxP,
              [published.layout(ARCHS['u0'])] * 3)
  writer.wait()
  zoo = nws_jax.open_zoo(copy)
  for read in (lambda: zoo.vector(3, 1), zoo.verify,
               lambda: zoo.vectors([0, 3, 7], [0, 1]),
               lambda: zoo.vectors([3], [1], 5, 9)):
    with pytest.raises(errors.Damaged, match='u0/1 is damaged: the '
                                             'weights of network 3 are not'):
      read()
  np.testing.assert_array_equal(zoo.vector(7, 1), vector_of(7, 1))
  assert zoo.verify([1, 2, 7]) == 7


def test_no_flipped_byte_gives_other_weights(copy):
  """Every larger file of a snapshot, at several places."""
  files = sorted((copy / 'snapshots' / 'u0' / '2').rglob('d/*'))
  noticed = 0
  for file in files:
    good = file.read_bytes()
    for place in np.linspace(0, len(good) - 1, 5, dtype=int):
      bad = bytearray(good)
      bad[place] ^= 0xff
      file.write_bytes(bad)
      for stop in (None, 4000):
        try:
          found = nws_jax.open_zoo(copy).vectors([0, 3, 7], [2], 0, stop)
          np.testing.assert_array_equal(
              found[:, 0], weights_of('u0', 2)[:, :stop])
        except errors.Damaged:
          noticed += 1
    file.write_bytes(good)
  assert noticed > 10
  assert nws_jax.open_zoo(copy).verify() == 13


def swap(a, b, aside):
  a.rename(aside)
  b.rename(a)
  aside.rename(b)


def test_a_window_of_another_network_or_epoch_is_damage(copy):
  """Folders of two epochs, swapped."""
  at = copy / 'snapshots' / 'u0'
  swap(at / '0', at / '2', copy / 'aside')
  zoo = nws_jax.open_zoo(copy)
  for id, epoch in ((0, 0), (7, 2)):
    for window in ((), (0, 1), (93, 94), (4000, 4100)):
      with pytest.raises(errors.Damaged, match=f'u0/{epoch} is damaged: the '
                                               f'weights of network {id} are'):
        zoo.vectors([id], [epoch], *window)
  assert zoo.vectors([0], [1], 5, 6)[0, 0] == vector_of(0, 1)[5:6]


def test_lost_checksums_are_damage_but_of_older_zoos(copy):
  for file in copy.glob('snapshots/*/*/checksums.u64'):
    file.unlink()
  zoo = nws_jax.open_zoo(copy)
  for read in (zoo.verify, lambda: zoo.vectors([0], [0], 0, 9)):
    with pytest.raises(errors.Damaged, match='u0/0 is damaged: checksums.u64: .'
                                             '*No such file'):
      read()
  for unit in ARCHS:  # as older versions wrote it
    path = copy / 'units' / unit / 'progress.json'
    record = json.loads(path.read_text())
    del record['checked'], record['checksum']
    path.write_text(json.dumps(record))
  zoo = nws_jax.open_zoo(copy)
  assert zoo.verify() == 13
  assert zoo.vectors([0], [0], 5, 6)[0, 0] == vector_of(0, 0)[5:6]


@pytest.mark.parametrize('damage', ['{}', '{"digests": {}}', None])
def test_lost_digests_are_damaged(copy, damage):
  record = copy / 'units' / 'u0' / 'progress.json'
  opened = nws_jax.open_zoo(copy)
  if damage:
    record.write_text(damage)
  else:
    record.unlink()
  assert opened.vector(0, 0).any()  # it has them from before
  zoo = nws_jax.open_zoo(copy)
  with pytest.raises(errors.Damaged):
    zoo.vector(0, 0)
  assert zoo.vector(1, 0).any()


def test_zoo_whose_run_goes_on(copy):
  """What a run adds is there for who opens the zoo again."""
  shutil.rmtree(copy / 'units' / 'u0')
  whole.rebuild(copy)
  zoo = nws_jax.open_zoo(copy)
  assert list(zoo.members['id']) == [1, 2] and zoo.verify() == 4
  write_unit(copy, 'u0')
  whole.rebuild(copy)
  assert zoo.verify([1, 2]) == 4
  assert nws_jax.open_zoo(copy).verify() == 13


def test_unit_names_in_the_table_do_not_lead_outside(copy):
  text = (copy / 'members.csv').read_text().replace(',u0,', ',../u0,')
  (copy / 'members.csv').write_text(text)
  record = tables.read_json(copy / 'checksums.json')
  record['tables']['members.csv'] = tables.hash_text(text)
  record['snapshots']['../u0'] = record['snapshots'].pop('u0')
  tables.write_json(copy / 'checksums.json', record)
  with pytest.raises(errors.Damaged, match="'../u0', which is no name"):
    nws_jax.open_zoo(copy).vector(0, 0)


def test_images_are_those_of_the_zoo(path):
  images_NxHxWxC, labels_N = nws_jax.open_zoo(path).images('digits', 'test')
  assert images_NxHxWxC.shape == (len(labels_N), 32, 32, 3)
  assert images_NxHxWxC.dtype == np.uint8 and labels_N.dtype == np.int32


def test_apply_is_the_network_itself(path):
  from nws_jax.zoo.families.cnn import network as cnn
  zoo = nws_jax.open_zoo(path)
  images_NxHxWxC = zoo.images('digits', 'test')[0][:3]
  logits_3x20 = zoo.apply(7, 2, images_NxHxWxC)
  assert logits_3x20.shape == (3, 20) and logits_3x20.dtype == np.float32
  np.testing.assert_array_equal(logits_3x20, cnn.predict(
      ARCHS['u0'], 'tanh', vector_of(7, 2), images_NxHxWxC))
  for other in (zoo.apply(7, 1, images_NxHxWxC),
                zoo.apply(3, 2, images_NxHxWxC)):
    assert not np.array_equal(logits_3x20, other)


def test_images_given_otherwise_are_refused_with_what_makes_them_right(path):
  zoo = nws_jax.open_zoo(path)
  right = zoo.images('digits', 'test')[0][:3]
  one, expected = right[1], zoo.apply(7, 2, right)
  for images in (right.astype(int), right.astype(np.uint16), right.tolist()):
    np.testing.assert_array_equal(zoo.apply(7, 2, images), expected)
  assert zoo.apply(7, 2, right[:0]).shape == (0, 20)
  for images in (right / 255, (right / 255).astype(np.float32),
                 right.astype(float), right.transpose(0, 3, 1, 2), one,
                 one.transpose(2, 0, 1)):
    with pytest.raises(errors.Wrong, match='uint8 .N, 32, 32, 3.') as e:
      zoo.apply(7, 2, images)
    fix = re.search(r'([(]images .*|images[.[].*)[.]$', str(e.value))
    mended = eval(fix[1], {'images': images})
    np.testing.assert_array_equal(
        zoo.apply(7, 2, mended),
        expected[1:2] if len(mended) == 1 else expected)
  for images in (right.astype(int) - 1, right.astype(int) * 2,
                 right / 127.5 - 1, right > 5, right * np.nan):
    with pytest.raises(errors.Wrong, match='undo what was done'):
      zoo.apply(7, 2, images)
  for images in (right[:, :28, :28], right[:2, ..., 0], right[..., :1], None):
    with pytest.raises(errors.Wrong, match='images.resize'):
      zoo.apply(7, 2, images)
  with pytest.raises(errors.Wrong, match='no array'):
    zoo.apply(7, 2, [[1], [1, 2]])


@pytest.mark.parametrize('value', [
    7.5, '7', True, np.nan, np.inf, None, [7], np.array([7, 2]), 7j])
def test_ids_and_epochs_that_are_not_whole_are_refused(path, value):
  zoo = nws_jax.open_zoo(path)
  for read in (lambda: zoo.vector(value, 2), lambda: zoo.vector(7, value),
               lambda: zoo.vectors([7, value], [2]), lambda: zoo.epochs(value),
               lambda: zoo.architecture(value), lambda: zoo.verify([value]),
               lambda: zoo.vectors([7], [2], value, 9),
               lambda: zoo.variables(value, 2)):
    with pytest.raises(errors.Wrong, match='is not possible: it must be a who'):
      read()
  with pytest.raises(errors.Wrong, match='ids=7 .* list of whole numbers'):
    zoo.vectors(7, [2])


def test_whole_numbers_of_any_type_are_taken(path):
  zoo = nws_jax.open_zoo(path)
  for value in (7, 7.0, np.int32(7), np.uint8(7), np.float32(7), np.array(7),
                zoo.members['id'].iloc[-1]):
    np.testing.assert_array_equal(zoo.vector(value, 2), vector_of(7, 2))
  for ids in ({7}, iter([7]), zoo.members['id'][-1:], np.array([7.0])):
    np.testing.assert_array_equal(
        zoo.vectors(ids, range(2, 3))[0, 0], vector_of(7, 2))


FORKED = '''
import multiprocessing, operator, pickle, sys
import nws_jax
from nws_jax import errors
zoo = nws_jax.open_zoo(sys.argv[1])
def ask(method, images):
  with multiprocessing.get_context(method).Pool(1) as pool:
    return pool.apply_async(
        operator.methodcaller(*images), (zoo,)).get(timeout=60)
def refused(*what):
  try:
    ask('fork', what)
  except errors.Wrong as e:
    return str(e)
before = ask('fork', ('vector', 7, 2))  # nothing was read here yet
assert (before == zoo.vector(7, 2)).all()
print(refused('vector', 7, 2))
print(refused('verify'))
assert (before == ask('spawn', ('vector', 7, 2))).all()
assert (before == zoo.vector(7, 2)).all()
'''


def test_a_forked_process_reads_or_says_why_not(path):
  import subprocess
  done = subprocess.run([sys.executable, '-c', FORKED, path], timeout=200,
                        capture_output=True, text=True)
  assert done.returncode == 0 and not done.stderr, done.stderr
  said = done.stdout.splitlines()
  assert len(said) == 2 and said[0] == said[1]
  assert "used TensorStore" in said[0] and "get_context('spawn')" in said[0]


def test_a_pickled_zoo_is_the_same_moment(copy):
  zoo = nws_jax.open_zoo(copy)
  data = pickle.dumps(zoo)
  np.testing.assert_array_equal(
      pickle.loads(pickle.dumps(zoo)).vector(7, 2), zoo.vector(7, 2))
  shutil.rmtree(copy / 'units' / 'u1')
  whole.rebuild(copy)
  again = pickle.loads(data)
  assert again.digest == zoo.digest != nws_jax.open_zoo(copy).digest
  assert again.metrics.equals(zoo.metrics)


def test_config_without_its_keys_is_damaged(copy):
  (copy / 'config.json').write_text('{}')
  with pytest.raises(errors.Damaged, match="no 'dataset_source'"):
    nws_jax.open_zoo(copy).images('digits', 'test')


ENDLESS = '''
import sys
sys.path.insert(0, sys.argv[2])
import api_test
from nws_jax.store import folder
path, epoch = sys.argv[1], 0
record = folder.progress(path, 'u0')
api_test.EPOCHS['u0'] = tuple(range(record['round'] + 1)) if record else ()
while True:
  epoch = len(api_test.EPOCHS['u0'])
  api_test.EPOCHS['u0'] += (epoch,)
  api_test.write_unit(path, 'u0', done=False, only=epoch)
  whole.rebuild(path)
  print(epoch, flush=True)
'''


@pytest.mark.soak
def test_killed_at_any_time_what_was_committed_stays(tmp_path):
  """Kills a writer of epochs at random moments; each time it goes on."""
  import random
  import subprocess
  import sys
  import time
  path = tmp_path / 'zoo'
  path.mkdir()
  (path / 'config.json').write_text('{}')
  reached, draw = [], random.Random(0)
  for _ in range(15):
    child = subprocess.Popen(
        [sys.executable, '-c', ENDLESS, path, os.path.dirname(__file__)],
        stdout=subprocess.PIPE)
    with child:
      child.stdout.readline()  # one more epoch was committed
      time.sleep(draw.uniform(0, 0.5))
      child.kill()
    record = folder.progress(path, 'u0')
    reached.append(record['round'])
    whole.rebuild(path)
    zoo = nws_jax.open_zoo(path)
    assert zoo.epochs(3) == tuple(range(record['round'] + 1))
    assert zoo.verify() == 3 * (record['round'] + 1)
  assert reached == sorted(set(reached)) and len(reached) == 15

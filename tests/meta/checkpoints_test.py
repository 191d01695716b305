"""Files and folders that others made, of a network that is known."""

import dataclasses
import json
import os
import pathlib
import pickle
import socket
import subprocess
import sys
import zipfile

import hypothesis
import hypothesis.strategies as st
import ml_dtypes
import numpy as np
import pandas as pd
import pytest
from flax import traverse_util

from nws_jax import errors, published
from nws_jax.meta.data import layouts
from nws_jax.meta.identify import checkpoints, orbax_folders
from tests.meta import foreign

# Norms of 4, 8, 16, 16 and 8: their sizes alone do not tell whose they are.
ARCH = published.Architecture(3, 3, 2, 4, 16, True)
BARE = dataclasses.replace(ARCH, batch_norm=False)
OTHER = dataclasses.replace(ARCH, width_conv=8)


def _layers(arch):
  return pd.DataFrame([dict(
      architecture=arch.name, layer=s.layer, tensor=s.tensor, start=s.start,
      stop=s.stop, shape='x'.join(map(str, s.shape)))
      for s in published.layout(arch).spans])


def _know(*archs):
  return {a.name: layouts.read(_layers(a), [a.name])[0] for a in archs}


KNOWN = _know(ARCH)


def _make(arch=ARCH, seed=0):
  return np.random.default_rng(seed).normal(
      size=published.layout(arch).num_weights).astype(np.float32)


def _read(path, known=None):
  return checkpoints.read(str(path), known or KNOWN)


@pytest.fixture(scope='module')
def forms(tmp_path_factory):
  """(folder, names) of one network in every form."""
  folder = tmp_path_factory.mktemp('forms')
  return folder, foreign.write_all(folder, _make(), ARCH)


def test_every_form_gives_the_same_vector(forms):
  folder, names = forms
  for name in names:
    got = _read(folder / name)
    assert got.architecture == ARCH.name, name
    np.testing.assert_array_equal(got.vector_P, _make(), name)
    # What is passed by is an optimizer's, or of no layer.
    assert {n.rpartition('/')[2] for n in got.ignored} <= {
        'opt_state', 'step'}, name
  assert _read(folder / 'state').ignored == ('opt_state', 'step')
  # Of several, what was read is named.
  for name, read in (('manager', 'manager/10'), ('v1 steps', 'v1 steps/2'),
                     ('run', 'run/weights/020.bin')):
    assert _read(folder / name).name == str(folder / read)


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=150, deadline=None)
def test_damage_of_any_kind_is_one_message_or_another_vector(forms, data):
  folder, _ = forms
  name = data.draw(st.sampled_from([
      'double.bin', 'vector.npy', 'named.npz', 'flax.safetensors',
      'torch.safetensors', 'checkpoint_3', 'state/_METADATA',
      'state/manifest.ocdbt']))
  whole = (folder / name).read_bytes()
  at = data.draw(st.integers(0, min(len(whole), 3000) - 1))
  cut = data.draw(st.booleans())
  spoiled = whole[:at] if cut else (
      whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1:])
  try:
    (folder / name).write_bytes(spoiled)
    got = _read(folder / name.partition('/')[0])
    assert got.vector_P.shape == _make().shape
  except errors.Wrong as e:
    assert '\n' not in str(e)
  finally:
    (folder / name).write_bytes(whole)


@pytest.mark.parametrize('name', foreign.NAMES)
def test_a_state_dict_is_known_by_its_modules(tmp_path, name):
  state = foreign.to_torch(
      published.layout(ARCH).to_variables(_make()), ARCH, foreign.NAMES[name])
  foreign.write_safetensors(tmp_path / 'a.safetensors', state)
  np.savez(tmp_path / 'a.npz', **state)
  for file in ('a.safetensors', 'a.npz'):
    got = _read(tmp_path / file)
    np.testing.assert_array_equal(got.vector_P, _make())
    assert got.ignored == ()


def test_flax_modules_may_be_called_otherwise(tmp_path):
  variables, flat, count = published.layout(ARCH).to_variables(_make()), {}, {}
  for layer in published.layers(ARCH):
    kind = 'Conv' if layer.name.startswith('conv') else 'Dense'
    for kind, module in ((kind, layer.name), ('BatchNorm', layer.name + '_bn')):
      number = count[kind] = count.get(kind, -1) + 1
      for collection in ('params', 'batch_stats'):
        for name, x in variables[collection].get(module, {}).items():
          flat[f'{collection}/{kind}_{number}/{name}'] = x
  orbax_folders.write(str(tmp_path / 'orbax'), traverse_util.unflatten_dict(
      flat, sep='/'))
  np.testing.assert_array_equal(_read(tmp_path / 'orbax').vector_P, _make())


@pytest.mark.parametrize('half', [ml_dtypes.bfloat16, np.float16])
def test_half_precision_is_read_as_it_is_and_told(tmp_path, half):
  rounded = _make().astype(half)
  variables = published.layout(ARCH).to_variables(rounded)
  np.savez(tmp_path / 'named.npz', **foreign.flatten(variables))
  np.savez(tmp_path / 'vector.npz', rounded)
  np.save(tmp_path / 'vector.npy', rounded)
  orbax_folders.write(str(tmp_path / 'orbax'), variables)
  for name in ('named.npz', 'vector.npz', 'vector.npy', 'orbax'):
    got = _read(tmp_path / name)
    np.testing.assert_array_equal(got.vector_P, rounded.astype(np.float32))
    assert got.rounded


def test_params_alone_are_enough_where_there_is_no_more(tmp_path):
  known = _know(ARCH, BARE)
  params = published.layout(BARE).to_variables(_make(BARE))['params']
  orbax_folders.write(str(tmp_path / 'bare'), params)
  np.testing.assert_array_equal(
      _read(tmp_path / 'bare', known).vector_P, _make(BARE))
  params = published.layout(ARCH).to_variables(_make())['params']
  for name, tree in (('normed', params), ('named', {'params': params})):
    orbax_folders.write(str(tmp_path / name), tree)
    with pytest.raises(errors.Wrong, match='running means and variances .* are '
                       "missing, .* save {'params'"):
      _read(tmp_path / name, known)


def _save_two(path):
  variables = published.layout(ARCH).to_variables(_make())
  orbax_folders.write(str(path), {'ema': variables, 'model': variables})


def _save_run_table(path):
  os.makedirs(path)
  (path / 'nws_train.csv').write_text('')


def _save_flat(path):
  np.savez(path, a=np.zeros((3, 2)), b=np.zeros(2))


def _save_other(path):
  np.savez(path, **foreign.flatten(
      published.layout(OTHER).to_variables(_make(OTHER))))


def _save_whole_numbers(path):
  np.savez(path, **{
      name: x.astype(int) for name, x in foreign.flatten(
          published.layout(ARCH).to_variables(_make())).items()})


def _save_upwards(path):
  """An array outside the folder that says to hold it."""
  orbax_folders.write(str(path), {'params': {'fc1': {'kernel': np.ones(3)}}})
  record = json.loads((path / '_METADATA').read_text())
  leaf, = record['tree_metadata'].values()
  leaf['key_metadata'][0]['key'] = '../../x'
  (path / '_METADATA').write_text(json.dumps(record))


def _huge(path):
  """A claim of 8 TB in a file of some bytes."""
  with zipfile.ZipFile(path, 'w') as f:
    with f.open('weights.npy', 'w') as member:
      np.lib.format.write_array_header_1_0(member, {
          'descr': '<f8', 'fortran_order': False, 'shape': (10**12,)})


def _long_header(path):
  """A small file whose array says to have a header of 4 GB."""
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.writestr('a.npy', b'\x93NUMPY\2\0\xff\xff\xff\xff' + bytes(1 << 16))


def _write(data):
  return lambda path: path.write_bytes(data)


_HEAD = json.dumps({'a': {'dtype': 'F32', 'shape': [10**12],
                          'data_offsets': [0, 4 * 10**12]}}).encode()


@pytest.mark.parametrize('name, make, words', [
    ('a.pkl', lambda p: p.write_bytes(pickle.dumps([1.0])), 'is a pickle'),
    ('a.bin', lambda p: p.write_bytes(pickle.dumps([1.0])), 'is a pickle'),
    ('a.npz', lambda p: zipfile.ZipFile(p, 'w').writestr('data.pkl', b''),
     'is a pickle'),
    ('a.npz', lambda p: np.savez(p, a=np.array([{}], object)), 'pickle'),
    ('a.npz', _huge, '1,000,000,000,000 weights'),
    ('a.safetensors', _write(len(_HEAD).to_bytes(8, 'little') + _HEAD),
     'do not fit its shape'),
    ('a.safetensors', _write(b'\xff' * 40), 'header'),
    ('a.safetensors', _write(b'\2\0\0\0\0\0\0\0[]'), 'cannot be read'),
    ('a.bin', _write(b'\0' * 80), 'it has 10 weights, unlike'),
    ('a.bin', _write(b'\0' * 81), 'not a multiple'),
    ('a.npz', _save_flat, 'unlike any .* no layers'),
    ('a.npz', _save_other,
     'has convolutions of 3x3x3x4, .*the file of 3x3x3x8'),
    ('a.npz', lambda p: np.savez(p, **foreign.to_torch(
        published.layout(OTHER).to_variables(_make(OTHER)), OTHER,
        foreign.NAMES['flat'])),
     'has convolutions of 3x3x3x4, .*the file of 3x3x3x8'),
    ('a.npz', _save_whole_numbers, 'int64, not floating'),
    ('a.npy', lambda p: np.save(p, np.zeros((3, 2))), r'shape \(3, 2\)'),
    ('a.npy', lambda p: np.save(p, np.array([{}], object)), 'pickle'),
    ('a', _save_two, r'several networks \(ema/, model/\)'),
    ('a', _save_run_table, 'name one of them, as .*00012'),
    ('a', _save_upwards, 'not the name of an array'),
    ('a.msgpack', _write(b'\xde\xff\xff\xa1a'), 'cannot be read'),
    ('a.msgpack', _write(b'\x81\xa1a\xdd\xff\xff\xff\xff'), 'cannot be read'),
    ('a.msgpack', _write(b'\x81\xa1a' * 5000), 'cannot be read'),
    ('a.msgpack', _write(b'\x81\xa1a' + bytes(8 << 20)), 'bytes; a network'),
    ('a.npz', lambda p: np.savez(
        p, w=np.full(published.layout(ARCH).num_weights, np.nan)), 'NaN'),
    ('a.npz', lambda p: np.savez(
        p, w=np.zeros(published.layout(ARCH).num_weights, int)), 'floating'),
    ('a.npz', lambda p: np.savez(
        p, w=np.zeros(published.layout(ARCH).num_weights, np.uint8)),
     'floating'),
    ('a.npz', _long_header, r'version \(2, 0\)'),
    ('a.txt', _write(b'hello'), 'its format is unknown'),
    ('a.npz', _write(b'PK\3\4 broken'), 'cannot be read'),
    ('folder', lambda p: p.mkdir(), 'not an Orbax folder'),
    ('a.bin', lambda p: None, 'no such file'),
])
def test_what_cannot_be_read_costs_one_message(tmp_path, name, make, words):
  make(tmp_path / name)
  with pytest.raises(errors.Wrong, match=words):
    _read(tmp_path / name)


def _bind(path):
  with socket.socket(socket.AF_UNIX) as some:
    some.bind(str(path))


@pytest.mark.parametrize('make, words', [
    (os.mkfifo, 'a pipe'),
    (_bind, 'a socket'),
    (lambda path: path.symlink_to('/dev/zero'), 'a device'),
])
def test_what_never_ends_is_refused_at_once(tmp_path, make, words):
  path = tmp_path / 'a.bin'
  make(path)
  with pytest.raises(errors.Wrong, match=words):
    _read(path)


def test_a_pipe_in_a_folder_is_refused_at_once(tmp_path):
  orbax_folders.write(str(tmp_path / 'item'), {'a': np.ones(3)})
  os.mkfifo(tmp_path / 'item' / 'd' / 'x')
  os.makedirs(tmp_path / 'run' / 'weights')
  os.mkfifo(tmp_path / 'run' / 'weights' / '001.bin')
  for name in ('item', 'run'):
    with pytest.raises(errors.Wrong, match='a pipe'):
      _read(tmp_path / name)


def test_no_accelerator_is_needed_to_read_what_was_saved_on_one(
    tmp_path, monkeypatch):
  path = tmp_path / 'orbax'
  orbax_folders.write(str(path), {'x': np.arange(3.0)})
  sharding = json.loads((path / '_sharding').read_text()) if (
      path / '_sharding').exists() else {}
  (path / '_sharding').write_text(json.dumps(sharding).replace('cpu', 'cuda'))
  done = subprocess.run(
      [sys.executable, '-c', 'import sys; from nws_jax.meta.identify '
       'import orbax_folders as o; print(o.read(sys.argv[1], o.list_shapes('
       'sys.argv[1])))', str(path)], capture_output=True, text=True,
      env=os.environ | {'JAX_PLATFORMS': 'cuda'},
      cwd=pathlib.Path(__file__).parents[2])
  assert '[0., 1., 2.]' in done.stdout, done.stderr

"""One network as the files and folders that others have of it."""

import json
import os

import numpy as np
import optax

from nws_jax import published


def flatten(variables):
  """{names joined by /: array} of Flax variables."""
  return {f'{c}/{m}/{n}': np.ascontiguousarray(x)
          for c, modules in variables.items()
          for m, tensors in modules.items() for n, x in tensors.items()}


def write_safetensors(path, arrays):
  """As the library does: sorted by name."""
  data, header = b'', {'__metadata__': {'by': 'test'}}
  for name, x in sorted(arrays.items()):
    x = np.ascontiguousarray(x)
    header[name] = {
        'dtype': {'f': 'F', 'i': 'I'}[x.dtype.kind] + str(8 * x.itemsize),
        'shape': list(x.shape),
        'data_offsets': [len(data), len(data) + x.nbytes]}
    data += x.tobytes()
  head = json.dumps(header).encode()
  with open(path, 'wb') as f:
    f.write(len(head).to_bytes(8, 'little') + head + data)


def make_state(variables):
  """A Flax TrainState with Adam's."""
  from flax.training import train_state

  class State(train_state.TrainState):
    batch_stats: dict

  return State.create(
      apply_fn=None, params=variables['params'], tx=optax.chain(
          optax.clip(1.0), optax.adam(0.0)),
      batch_stats=variables['batch_stats'])


def to_torch(variables, arch, name):
  """A PyTorch state_dict of the same network.

  Args:
    variables: Flax variables.
    arch: its `published.Architecture`.
    name: (layer, whether its norm, its place among all modules) -> module.
  """
  state, number = {}, 0
  for layer in published.layers(arch):
    tensors = variables['params'][layer.name]
    kernel = tensors['kernel']
    if kernel.ndim == 4:
      weight = np.einsum('hwio->oihw', kernel)
    elif layer.name == 'fc1':  # there, images are flattened channels first
      side, channels = 4, kernel.shape[0] // 16
      weight = np.stack([kernel[(h * side + w) * channels + c]
                         for c in range(channels) for h in range(side)
                         for w in range(side)], 1)
    else:
      weight = kernel.T
    module = name(layer.name, False, number)
    state[f'{module}.weight'], state[f'{module}.bias'] = weight, tensors['bias']
    number += 1
    if layer.norm:
      module = name(layer.name, True, number)
      number += 1
      norm = variables['params'][f'{layer.name}_bn']
      running = variables['batch_stats'][f'{layer.name}_bn']
      state |= {f'{module}.{key}': x for key, x in {
          'weight': norm['scale'], 'bias': norm['bias'],
          'running_mean': running['mean'], 'running_var': running['var'],
          'num_batches_tracked': np.int64(7)}.items()}
  return state


def _count(layer):
  """conv1_1 -> 1, ..., fc1 -> 4: the layer's place among all."""
  return ('conv1_1', 'conv2_1', 'conv3_1', 'fc1', 'fc2', 'output').index(
      layer) + 1


# How people name the modules of one and the same network.
NAMES = {
    'ours': lambda layer, norm, n: layer + '_bn' * norm,
    'flat': lambda layer, norm, n: ('bn' if norm else 'conv' if 'conv' in layer
                                    else 'fc') + str(_count(layer)),
    'sequential': lambda layer, norm, n: str(n),
    'late': lambda layer, norm, n: str(n + 7),  # 9 before 10
    'two parts': lambda layer, norm, n: (
        'features' if 'conv' in layer else 'classifier') + f'.{2 * n}',
    'lists': lambda layer, norm, n: (
        'fc' * ('conv' not in layer) + 'norm' if norm else
        'conv' if 'conv' in layer else 'out' if layer == 'output' else 'fc'
    ) + f'.{(_count(layer) - 1) % 3}',
    'wrapped': lambda layer, norm, n: f'module.net.layers.{n}',
    'blocks': lambda layer, norm, n: (
        f'block{_count(layer)}.' + ('norm' if norm else 'layer')),
    'words': lambda layer, norm, n: {
        'conv1_1': 'stem', 'conv2_1': 'mid', 'conv3_1': 'deep', 'fc1': 'neck',
        'fc2': 'more', 'output': 'head'}[layer] if not norm else f'bn{n:02d}',
}


def write_all(path, vector_P, arch):
  """Writes a network in every form that holds it exactly; the forms' names."""
  import orbax.checkpoint as ocp
  from flax import serialization
  from orbax.checkpoint.experimental import v1
  variables = published.layout(arch).to_variables(vector_P)
  state, flat = make_state(variables), flatten(variables)
  vector_P.astype('<f8').tofile(path / 'double.bin')
  vector_P.astype('<f4').tofile(path / 'single.bin')
  for number, values in (('001', 0 * vector_P), ('020', vector_P)):
    os.makedirs(path / 'run' / 'weights', exist_ok=True)
    values.astype('<f8').tofile(path / 'run' / 'weights' / f'{number}.bin')
  np.save(path / 'vector.npy', vector_P)
  np.savez(path / 'vector.npz', weights=vector_P)
  np.savez_compressed(path / 'named.npz', **flat)
  write_safetensors(path / 'flax.safetensors', {
      name.replace('/', '.'): x for name, x in flat.items()})
  write_safetensors(path / 'torch.safetensors', to_torch(
      variables, arch, NAMES['flat']))
  (path / 'variables.msgpack').write_bytes(serialization.to_bytes(variables))
  (path / 'checkpoint_3').write_bytes(serialization.to_bytes(state))
  with ocp.StandardCheckpointer() as saver:
    saver.save(path / 'variables', variables)
    saver.save(path / 'state', state)
  with ocp.CheckpointManager(path / 'manager') as manager:
    for step, values in ((9, 0 * vector_P), (10, vector_P)):
      manager.save(step, args=ocp.args.StandardSave(make_state(
          published.layout(arch).to_variables(values))))
  with ocp.CheckpointManager(
      path / 'apart', item_names=('params', 'batch_stats', 'more')) as manager:
    manager.save(1, args=ocp.args.Composite(
        params=ocp.args.PyTreeSave(variables['params']),
        batch_stats=ocp.args.PyTreeSave(variables['batch_stats']),
        more=ocp.args.JsonSave({'note': 1})))
  def save(by):  # it was called otherwise before
    return getattr(by, 'save', None) or by.save_pytree

  save(v1)(path / 'v1', state)
  with v1.training.Checkpointer(path / 'v1 steps') as saver:
    save(saver)(2, {'model': state, 'config': {'name': 'x'}})
  return [
      'double.bin', 'single.bin', 'run', 'vector.npy', 'vector.npz',
      'named.npz', 'flax.safetensors', 'torch.safetensors', 'variables.msgpack',
      'checkpoint_3', 'variables', 'state', 'manager', 'manager/10',
      'manager/10/default', 'apart', 'v1', 'v1 steps']

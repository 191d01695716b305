"""One network's functions, mapped over a population and compiled.

On CPU the networks of a device run one after another (`lax.map`): the working
set of one stays in the cache, branches are real, and a network's arithmetic is
the same in every slot. On accelerators they run side by side (`vmap`). Several
devices, emulated ones on CPU included, share the axis of networks.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from nws_jax.zoo import train

AXIS = 'networks'


class Program(NamedTuple):
  """Compiled functions over M networks; `state` is donated to all of them."""
  init: callable  # (networks) -> state
  epoch: callable  # (networks, state, epoch) -> state, metrics
  measure: callable  # (networks, state, full) -> state, metrics: epoch 0
  place: callable  # puts a NumPy tree with an axis M on the devices
  images: callable  # (networks) -> images that one epoch shows them


def build(static, data, seed, form, devices=None):
  """Programs for one `train.Static` over an axis of networks.

  Args:
    static: `train.Static`.
    data: `train.Data` of NumPy.
    seed: root seed of the population.
    form: 'map' or 'vmap'.
    devices: devices to share the networks; M must be a multiple of their count.
  """
  devices = devices or jax.devices()
  mesh = jax.make_mesh((len(devices),), (AXIS,), devices=devices,
                       axis_types=(jax.sharding.AxisType.Auto,))
  mine = NamedSharding(mesh, PartitionSpec(AXIS))
  data = jax.device_put(data, NamedSharding(mesh, PartitionSpec()))
  key = jax.random.key(seed)
  longest = int(max(data.count_S.max(), data.test_count_S.max()))
  init, fit, evaluate = train.make(static, longest)

  def epoch(networks, state, data, number):
    def one(network, state):
      state, loss, accuracy = fit(key, network, state, data, number)
      metrics = train.Metrics(
          loss, accuracy, *evaluate(key, network, state, data, False))
      return train.watch(state, metrics, number, static.patience), metrics
    return over(one, form)(networks, state)

  def measure(networks, state, data, full):
    def one(network, state):
      nothing = jnp.full((), jnp.nan, static.dtype)
      metrics = train.Metrics(
          nothing, nothing, *evaluate(key, network, state, data, full))
      return train.watch(state, metrics, 0, static.patience), metrics
    return over(one, form)(networks, state)

  axis, whole = PartitionSpec(AXIS), PartitionSpec()
  shard = functools.partial(jax.shard_map, mesh=mesh, check_vma=False)
  run_init = jax.jit(shard(
      over(lambda network: init(key, network), form),
      in_specs=axis, out_specs=axis))
  run_epoch = jax.jit(shard(
      epoch, in_specs=(axis, axis, whole, whole), out_specs=axis),
                      donate_argnums=1)
  run_measure = jax.jit(shard(
      measure, in_specs=(axis, axis, whole, whole), out_specs=axis),
                        donate_argnums=1)
  return Program(
      run_init,
      lambda networks, state, number: run_epoch(
          networks, state, data, np.int32(number)),
      lambda networks, state, full: run_measure(
          networks, state, data, np.bool_(full)),
      lambda tree: jax.device_put(tree, mine),
      functools.partial(_images, data, static.batch_size))


def _images(data, batch_size, networks):
  steps = train.steps_an_epoch(
      np.asarray(data.a_class_S)[networks.dataset], batch_size)
  return int((steps * networks.active).sum()) * batch_size


def over(fn, form):
  """`fn` of one network as a function of all: mapped here, and only here."""
  if form == 'vmap':
    return jax.vmap(fn)
  return lambda *args: jax.lax.map(lambda xs: fn(*xs), args)

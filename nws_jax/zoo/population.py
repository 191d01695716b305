"""One network's functions, mapped over a population and compiled.

On CPU the networks of a device run one after another (`lax.map`): the working
set of one stays in the cache, branches are real, and a network's arithmetic is
the same in every slot. On accelerators they run side by side (`vmap`). Several
devices, emulated ones on CPU included, share the axis of networks.
"""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from nws_jax.zoo import train

AXIS = 'networks'
_SHARE, _WHOLE = PartitionSpec(AXIS), PartitionSpec()


class Stage(NamedTuple):
  """Where programs run, and the images there; shared by all of them."""
  mesh: Any
  form: str  # 'map' or 'vmap'
  seed_key: Any
  data: Any  # `dataset.Data` on every device
  longest: int

  def place(self, tree):
    """Puts a NumPy tree with an axis M on the devices."""
    return jax.device_put(tree, NamedSharding(self.mesh, _SHARE))


class Program(NamedTuple):
  """Compiled functions over M networks; `state` is donated to both."""
  reset: callable  # (networks, state, fresh [M]) -> state, new where fresh
  epoch: callable  # (networks, state, full=False) -> state, metrics
  blank: callable  # () -> a state of zeros, NumPy


def set_stage(data, seed, form, devices=None):
  """The `Stage` of a population.

  Args:
    data: `dataset.Data` of NumPy.
    seed: root seed of the population.
    form: 'map' or 'vmap'.
    devices: share the networks; M must be a multiple of their count.
  """
  devices = devices or jax.devices()
  mesh = jax.make_mesh((len(devices),), (AXIS,), devices=devices,
                       axis_types=(jax.sharding.AxisType.Auto,))
  everywhere = NamedSharding(mesh, _WHOLE)
  return Stage(mesh, form, jax.device_put(jax.random.key(seed), everywhere),
               jax.device_put(data, everywhere), data.longest)


def build(static, stage, networks_M):
  """The `Program` of a `train.Static`, compiled.

  Args:
    static: `train.Static`.
    stage: `Stage`.
    networks_M: `train.Network` of NumPy, of the width that is compiled for.
  """
  def reset(key, networks, state, fresh):
    return over(lambda network, state, fresh: jax.lax.cond(
        fresh, lambda: train.init(static, key, network), lambda: state),
                 stage.form)(networks, state, fresh)

  def epoch(key, networks, state, full, data):
    return over(lambda network, state: train.run_epoch(
        static, stage.longest, key, network, state, full, data), stage.form)(
            networks, state)

  m = len(networks_M.id)
  one = jax.eval_shape(functools.partial(train.init, static), stage.seed_key,
                       jax.tree.map(lambda x: x[0], networks_M))
  blank = functools.partial(
      jax.tree.map, lambda x: np.zeros((m,) + x.shape, x.dtype), one)
  networks, state, flags = stage.place(
      (networks_M, blank(), np.zeros(m, bool)))
  key, data = stage.seed_key, stage.data
  reset = _compile(stage, reset, '.sss', (key, networks, state, flags))
  epoch = _compile(stage, epoch, '.ss..',
                   (key, networks, state, np.bool_(False), data))
  return Program(
      lambda networks, state, fresh: reset(key, networks, state, fresh),
      lambda networks, state, full=False: epoch(
          key, networks, state, np.bool_(full), data), blank)


def _compile(stage, fn, shares, args):
  """`fn` compiled for `args`, the third of which is donated; those marked 's'
  have the axis M."""
  specs = tuple(_SHARE if s == 's' else _WHOLE for s in shares)
  mapped = jax.shard_map(fn, mesh=stage.mesh, in_specs=specs,
                         out_specs=_SHARE, check_vma=False)
  return jax.jit(mapped, donate_argnums=2).lower(*args).compile()


def over(fn, form):
  """`fn` of one network as a function of all: mapped here, and only here."""
  if form == 'vmap':
    return jax.vmap(fn)
  return lambda *args: jax.lax.map(lambda xs: fn(*xs), args)

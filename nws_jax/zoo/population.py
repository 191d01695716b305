"""One network's functions, mapped over a population and compiled.

On CPU the networks of a device run one after another (`lax.map`): the working
set of one stays in the cache, only the taken branch of a `cond` is executed,
and a network's arithmetic is the same in every slot. On accelerators they run
side by side (`vmap`). The axis of networks is sharded over the devices, also
over emulated ones on CPU.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nws_jax.zoo import dataset, train

AXIS = 'networks'
_SHARE, _WHOLE = PartitionSpec(AXIS), PartitionSpec()


class Stage(NamedTuple):
  """Where programs run, and the images there; shared by all programs."""
  mesh: Mesh
  form: str  # 'map' or 'vmap'
  seed_key: jax.Array
  data: dataset.Data  # replicated on every device
  longest: int  # `dataset.Data.longest`

  def place(self, tree: Any) -> Any:
    """Shards the axis M of a tree of NumPy arrays over the devices."""
    return jax.device_put(tree, NamedSharding(self.mesh, _SHARE))


class Program(NamedTuple):
  """Compiled functions over M networks; both donate `state`."""
  # (networks, state, fresh bool [M]) -> state, initialized where `fresh`.
  reset: Callable[[train.Network, train.State, Any], train.State]
  # (networks, state, full=False) -> (state, metrics).
  epoch: Callable[..., tuple[train.State, train.Metrics]]
  blank: Callable[[], train.State]  # a state of zeros, NumPy


def set_stage(data: dataset.Data, seed: int, form: str,
              devices: Sequence[jax.Device] | None = None) -> Stage:
  """Creates the `Stage` of a population.

  Args:
    data: image sets, NumPy.
    seed: root seed of the population.
    form: 'map' or 'vmap'.
    devices: devices to shard over, all if None; M must be a multiple of their
      number.
  """
  devices = devices or jax.devices()
  mesh = jax.make_mesh((len(devices),), (AXIS,), devices=devices,
                       axis_types=(jax.sharding.AxisType.Auto,))
  everywhere = NamedSharding(mesh, _WHOLE)
  return Stage(mesh, form, jax.device_put(jax.random.key(seed), everywhere),
               jax.device_put(data, everywhere), data.longest)


def build(static: train.Static, stage: Stage, networks_M: train.Network
          ) -> Program:
  """Compiles a `Program`.

  Args:
    static: what it is compiled for.
    stage: where it runs.
    networks_M: NumPy, of the width that it is compiled for.
  """
  def reset(key: jax.Array, networks: train.Network, state: train.State,
            fresh: jax.Array) -> train.State:
    return over(lambda network, state, fresh: jax.lax.cond(
        fresh, lambda: train.init(static, key, network), lambda: state),
                 stage.form)(networks, state, fresh)

  def epoch(key: jax.Array, networks: train.Network, state: train.State,
            full: jax.Array, data: dataset.Data
            ) -> tuple[train.State, train.Metrics]:
    return over(lambda network, state: train.run_epoch(
        train.Task(static, stage.longest, key, network, data), state, full),
                stage.form)(networks, state)

  m = len(networks_M.id)
  one = jax.eval_shape(functools.partial(train.init, static), stage.seed_key,
                       jax.tree.map(lambda x: x[0], networks_M))
  blank = functools.partial(
      jax.tree.map, lambda x: np.zeros((m,) + x.shape, x.dtype), one)
  networks, state, flags = stage.place(
      (networks_M, blank(), np.zeros(m, bool)))
  key, data = stage.seed_key, stage.data
  run_reset = _compile(stage, reset, '.sss', (key, networks, state, flags))
  run_epoch = _compile(stage, epoch, '.ss..',
                       (key, networks, state, np.bool_(False), data))
  return Program(
      lambda networks, state, fresh: run_reset(key, networks, state, fresh),
      lambda networks, state, full=False: run_epoch(
          key, networks, state, np.bool_(full), data), blank)


def _compile(stage: Stage, fn: Callable[..., Any], shares: str,
             args: tuple[Any, ...]) -> Callable[..., Any]:
  """Compiles a function; it donates its third argument, the state.

  Args:
    stage: where it runs.
    fn: the function.
    shares: a character per argument; 's': it has the axis M.
    args: arguments of the shapes to compile for.
  """
  specs = tuple(_SHARE if s == 's' else _WHOLE for s in shares)
  mapped = jax.shard_map(fn, mesh=stage.mesh, in_specs=specs,
                         out_specs=_SHARE, check_vma=False)
  return jax.jit(mapped, donate_argnums=2).lower(*args).compile()


def over(fn: Callable[..., Any], form: str) -> Callable[..., Any]:
  """Maps a function of one network over all; nothing else maps networks."""
  if form == 'vmap':
    return jax.vmap(fn)
  return lambda *args: jax.lax.map(lambda xs: fn(*xs), args)

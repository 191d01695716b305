"""Estimates what training costs in seconds, memory and disk, before it runs.

The rates for CPU were fitted to training on the machine of
benchmarks/RESULTS.md. They decide only the widths, and which architectures
share a program.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from nws_jax.zoo import families, optimizers
from nws_jax.zoo.families import interface

if TYPE_CHECKING:
  from nws_jax.zoo import plan

IMAGES_A_STEP = 16384  # where `probe` has not measured it


class Machine(NamedTuple):
  """What a population runs on."""
  platform: str  # cpu, gpu or tpu
  devices: int
  memory: float  # bytes that its networks may use, on all devices together
  disk: float  # bytes that a population may take
  images_a_step: int = IMAGES_A_STEP  # images per step that fill an accelerator


def choose_form(platform: str) -> str:
  """How networks are mapped (population.py): 'map' or 'vmap'."""
  return 'map' if platform == 'cpu' else 'vmap'


class Work(NamedTuple):
  """About how much one network of a population trains."""
  images: float  # per epoch
  epochs: float


class Rates(NamedTuple):
  """Seconds on one device."""
  flop: float  # per operation of the layers
  activation: float  # per value of the layers
  value: float  # per update of a value of a network's vector
  image: float  # per image, whatever the network
  step: float  # per step of a program, whatever its networks
  compile: float  # per program


class DiskUse(NamedTuple):
  """Bytes on disk."""
  kept: float  # of all snapshots that are kept
  peak: float  # the most that a unit takes besides, before it is thinned


_RATES = {'cpu': Rates(6e-12, 2.5e-9, 4e-9, 4e-5, 0, 15)}
# For GPU and TPU, a rough estimate. For an H200 it gives 1.2 million images per
# second of the published fixed net in float32 (measured: 1.2), and 2.8 million
# of the smallest (measured: 3.2).
_ACCELERATOR = Rates(1e-14, 6e-12, 1e-11, 1e-8, 1e-3, 60)
MOST = 64  # networks of a unit on CPU: how much a kill may lose
# Vectors per network in training: its weights and at most all optimizer slots.
_COPIES = 1 + len(optimizers.slot_names(list(optimizers.RULES)))


def estimate_seconds(arch: interface.Shape, batch_size: int, networks: int,
                     machine: Machine, work: Work) -> float:
  """Seconds to train some networks by one program, without compilation."""
  rates = _RATES.get(machine.platform, _ACCELERATOR)
  family = families.of(arch)
  steps = work.images / batch_size * work.epochs
  each = batch_size * (
      rates.flop * family.cost(arch).flops + rates.image
      + rates.activation * family.cost(arch).activations) + (
          rates.value * families.layout(arch).num_weights)
  rounds = -(-networks // choose_width(machine, arch, batch_size))
  return steps * (networks * each / machine.devices + rounds * rates.step)


def estimate_program(arch: interface.Shape, batch_size: int, networks: int,
                     machine: Machine, work: Work) -> float:
  """Seconds to compile a program and to train its networks."""
  return compile_seconds(machine) + estimate_seconds(
      arch, batch_size, networks, machine, work)


def compile_seconds(machine: Machine) -> float:
  """Seconds to compile a program."""
  return _RATES.get(machine.platform, _ACCELERATOR).compile


def count_bytes(arch: interface.Shape, batch_size: int, platform: str
                ) -> float:
  """Bytes of memory that a slot of a program takes.

  It counts the weights and the optimizer's slots: on the device, and two copies
  on their way to the disk. An accelerator, where networks run side by side,
  also holds the activations of all of them at once. For the published fixed net
  at batch 64 in float32, XLA reports 20 MB (H200), and this estimate is 26 MB;
  less precise dots take less.
  """
  state = 4 * _COPIES * families.layout(arch).num_weights
  if platform == 'cpu':
    return 4 * state
  return 3 * state + 4 * batch_size * families.of(arch).cost(arch).held


def choose_width(machine: Machine, arch: interface.Shape, batch_size: int
                 ) -> int:
  """The number of networks that train at once."""
  most = MOST if machine.platform == 'cpu' else max(
      1, machine.images_a_step // batch_size)
  fit = machine.memory / count_bytes(arch, batch_size, machine.platform)
  return int(max(1, min(most, fit)))


def choose_queue(arch: interface.Shape, width: int, queue: int,
                 machine: Machine, work: Work) -> int:
  """The number of networks of a unit: `width * queue`, or as many as have
  snapshots that, before thinning, take at most a quarter of the disk."""
  rounds = 4 * families.layout(arch).num_weights * (work.epochs + 1)
  return int(max(1, min(width * queue, machine.disk / 4 / rounds)))


def count_disk(units: 'Iterable[plan.Unit]', archs: Mapping[int, Any],
               epochs: float, keep: int) -> DiskUse:
  """Counts what a population takes on disk.

  Args:
    units: those to train.
    archs: {id: the network's architecture}.
    epochs: of a network, at most.
    keep: snapshots to keep of each network; 0: all.
  """
  kept = peak = 0.0
  for unit in units:
    values = sum(families.layout(archs[id]).num_weights for id in unit.ids)
    kept += 4 * values * min(keep or epochs + 1, epochs + 1)
    # For a moment, the states of two rounds exist.
    rounds = 4 * values * (epochs + 1) if keep else 0
    peak = max(peak, rounds + 2 * 4 * _COPIES * unit.width * (
        families.layout(unit.arch).num_weights))
  return DiskUse(kept, peak)

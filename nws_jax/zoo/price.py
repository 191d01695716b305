"""What training costs: seconds, memory and disk, before anything runs.

The rates of CPU were fitted to training on the machine of
benchmarks/RESULTS.md; they decide nothing but widths and which architectures
share a program.
"""

from typing import NamedTuple

from nws_jax.zoo import families, optimizers

IMAGES_A_STEP = 16384  # where `probe` has not measured it


class Machine(NamedTuple):
  """What a population runs on."""
  platform: str  # cpu, gpu or tpu
  devices: int
  memory: float  # bytes that its networks may use, on all devices together
  disk: float  # bytes that a population may take
  images_a_step: int = IMAGES_A_STEP  # that fill an accelerator


def choose_form(platform):
  """How networks are mapped there (population.py): 'map' or 'vmap'."""
  return 'map' if platform == 'cpu' else 'vmap'


class Work(NamedTuple):
  """What one network of a population trains on, about."""
  images: float  # an epoch
  epochs: float


class Rates(NamedTuple):
  """Seconds on one device."""
  flop: float  # an operation of the layers
  activation: float  # a value of the layers
  value: float  # a value of a network's vector, updated
  image: float  # an image, whatever the network
  step: float  # a step of a program, whatever its networks
  compile: float  # a program


_RATES = {'cpu': Rates(6e-12, 2.5e-9, 4e-9, 4e-5, 0, 15)}
# GPU and TPU, for a rough word: an H200 does by it 1.2 million images a second
# of the published fixed net in float32 (1.2 seen), 2.8 of the smallest (3.2).
_ACCELERATOR = Rates(1e-14, 6e-12, 1e-11, 1e-8, 1e-3, 60)
MOST = 64  # networks of a unit on CPU: how much a kill may lose
# Vectors that training holds of a network: its weights and at most all slots.
_COPIES = 1 + len(optimizers.slot_names(list(optimizers.RULES)))


def estimate_seconds(arch, batch_size, networks, machine, work):
  """Training of some networks by one program, compilation left out."""
  rates = _RATES.get(machine.platform, _ACCELERATOR)
  family = families.of(arch)
  steps = work.images / batch_size * work.epochs
  each = batch_size * (
      rates.flop * family.cost(arch).flops + rates.image
      + rates.activation * family.cost(arch).activations) + (
          rates.value * families.layout(arch).num_weights)
  rounds = -(-networks // choose_width(machine, arch, batch_size))
  return steps * (networks * each / machine.devices + rounds * rates.step)


def estimate_program(arch, batch_size, networks, machine, work):
  """Seconds of a program: compiled, and its networks trained."""
  return compile_seconds(machine) + estimate_seconds(
      arch, batch_size, networks, machine, work)


def compile_seconds(machine):
  return _RATES.get(machine.platform, _ACCELERATOR).compile


def count_bytes(arch, batch_size, platform):
  """Memory that a slot of a program takes.

  The weights and the optimizer's slots: on the device, and copied twice on
  their way to the disk. Side by side on an accelerator, the activations of all
  networks are there at once; of the published fixed net at batch 64 in float32
  XLA's own count is 20 MB (H200), and this one 26; less precise dots take less.
  """
  state = 4 * _COPIES * families.layout(arch).num_weights
  if platform == 'cpu':
    return 4 * state
  return 3 * state + 4 * batch_size * families.of(arch).cost(arch).held


def choose_width(machine, arch, batch_size):
  """Networks that train at once."""
  most = MOST if machine.platform == 'cpu' else max(
      1, machine.images_a_step // batch_size)
  fit = machine.memory / count_bytes(arch, batch_size, machine.platform)
  return int(max(1, min(most, fit)))


def choose_queue(arch, width, queue, machine, work):
  """Networks of a unit: `queue` widths, if their snapshots before thinning
  take no more than a quarter of the disk."""
  rounds = 4 * families.layout(arch).num_weights * (work.epochs + 1)
  return int(max(1, min(width * queue, machine.disk / 4 / rounds)))


def count_disk(units, archs, epochs, keep):
  """(bytes of all snapshots kept, most bytes of a unit before it is thinned).

  Args:
    units: those to train.
    archs: {network: its architecture}.
    epochs: of a network, at most.
    keep: snapshots of each network; 0 all.
  """
  kept, peak = 0, 0
  for unit in units:
    values = sum(families.layout(archs[id]).num_weights for id in unit.ids)
    kept += 4 * values * min(keep or epochs + 1, epochs + 1)
    # The state of two rounds is there for a moment.
    rounds = 4 * values * (epochs + 1) if keep else 0
    peak = max(peak, rounds + 2 * 4 * _COPIES * unit.width * (
        families.layout(unit.arch).num_weights))
  return kept, peak

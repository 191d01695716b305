"""Measures training in images/s, against other ways to do the same.

  python -m benchmarks.train
      all sixteen architectures, with the two fast contestants
  python -m benchmarks.train --slow --points=fixed,smallest
      all contestants

All contestants must first compute the same loss from the same weights and
images; then they alternate. PyTorch (pip install torch==2.13.0) has its own
threads. On an accelerator both use it, and ours trains as many networks as fill
it.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from absl import app, flags

from benchmarks import contest, nets
from nws_jax import published
from nws_jax.zoo import images, price, recipe, runtime

_POINTS = flags.DEFINE_list(
    'points', list(nets.POINTS), 'architectures to train')
_ROUNDS = flags.DEFINE_integer('rounds', 7, 'rounds in which all alternate')
_CHECKED = flags.DEFINE_integer(
    'checked', len(nets.POINTS), 'number of architectures whose losses are '
    'compared first')
_SECONDS = flags.DEFINE_float('seconds', 0.7, 'seconds per turn')
_SLOW = flags.DEFINE_bool('slow', False, 'include the slow contestants')
_AUGMENTATION = flags.DEFINE_bool(
    'augmentation', False, 'train with augmentation')
_PRECISION = flags.DEFINE_enum(
    'precision', 'float32', recipe.PRECISIONS, 'of matrix products, for all')
_NETWORKS = flags.DEFINE_integer(
    'networks', 0, 'networks that train at once; 0: one per core, or '
    f'{price.IMAGES_A_STEP} images per step')
_NAME = flags.DEFINE_string('name', 'train', 'name of the JSON file of results')


class Case(NamedTuple):
  """What the contestants train."""
  arch: published.Architecture
  batch_size: int
  image_set: images.ImageSet
  augmentation: bool


def main(argv: list[str]) -> None:
  runtime.start()
  from benchmarks import jax_nets, torch_nets
  image_set = images.load('fashion_mnist')
  results: dict[str, Any] = {}
  precision = _PRECISION.value
  ours = functools.partial(jax_nets.ours, precision=precision,
                           networks=_NETWORKS.value)
  print(contest.machine())
  cases = {name: Case(*nets.point(name), image_set, _AUGMENTATION.value)
           for name in _POINTS.value}
  made = dict(zip(cases, jax_nets.compile_all(
      lambda case: ours(*case), cases.values())))
  losses = dict(zip(cases, jax_nets.compile_all(
      lambda case: jax_nets.measure_losses(
          case.arch, case.batch_size, case.image_set),
      list(cases.values())[:_CHECKED.value])))
  for name, case in cases.items():
    arch, batch_size = case.arch, case.batch_size
    compared = losses.get(name)
    if compared:
      torch_nets.allow('float32')
      compared['PyTorch'] = torch_nets.measure_loss(
          arch, batch_size, image_set, jax_nets.start(arch, 1, batch_size)[0])
      check(compared)
    torch_nets.allow(precision)
    contestants = {
        'ours': made[name], 'PyTorch, eager': torch_nets.eager(*case)}
    if _SLOW.value:
      contestants |= slow(ours, case)
    rates = contest.alternate(contestants, _ROUNDS.value, _SECONDS.value)
    print(f'{name}: {arch.name}, batch size {batch_size}'
          + (f'; loss {compared["ours"]:.5f}' if compared else ''))
    print(contest.table(rates, 'ours', 'images/s'), flush=True)
    results[name] = {
        'arch': arch.name, 'batch_size': batch_size, 'losses': compared,
        'augmentation': _AUGMENTATION.value, 'precision': precision,
        'images_per_second': rates,
        'ours_against': {other: contest.compare(rates, 'ours', other)
                         for other in rates if other != 'ours'}}
    contest.write(_NAME.value, results)  # so far, in case it is stopped
  ratios = [r['ours_against']['PyTorch, eager'][0] for r in results.values()]
  print(f'geometric mean over {len(ratios)} architectures, against the eager '
        f'loop: {contest.mean(ratios):.2f}')


def slow(ours: Callable[..., contest.Contestant], case: Case
         ) -> dict[str, contest.Contestant]:
  """The slow contestants; on an accelerator `torch.func` alone."""
  import jax

  from benchmarks import jax_nets, torch_nets
  sizes = case.arch, case.batch_size, case.image_set
  if jax_nets.mapped() == 'vmap':
    return {'PyTorch, torch.func': torch_nets.vmapped(
        *sizes, jax_nets.count_networks(case.batch_size))}
  return {
      'ours, vmapped': ours(
          *case, form='vmap', networks=8 * len(jax.devices())),
      'Flax, vmapped': jax_nets.flax(*sizes),
      'PyTorch, torch.func': torch_nets.vmapped(*sizes),
      'PyTorch, torch.compile': torch_nets.eager(*case, True)}


def check(losses: dict[str, float]) -> None:
  """Raises unless all contestants compute the same loss, to 1e-4 of it."""
  for who, loss in losses.items():
    if abs(loss - losses['ours']) > 1e-4 * abs(loss):
      raise AssertionError(f'the loss of {who} differs: {losses}')


if __name__ == '__main__':
  app.run(main)

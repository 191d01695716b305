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

from absl import app, flags

from benchmarks import contest, nets
from nws_jax.zoo import price, recipe, runtime

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


def main(_):
  runtime.start()
  from benchmarks import jax_nets, torch_nets
  from nws_jax.zoo import images
  image_set = images.load('fashion_mnist')
  results = {}
  precision = _PRECISION.value
  ours = functools.partial(jax_nets.ours, precision=precision,
                           networks=_NETWORKS.value)
  print(contest.machine())
  points = {name: (*nets.point(name), image_set, _AUGMENTATION.value)
            for name in _POINTS.value}
  made = dict(zip(points, jax_nets.compile_all(
      lambda args: ours(*args), points.values())))
  losses = dict(zip(points, jax_nets.compile_all(
      lambda args: jax_nets.measure_losses(*args[:3]),
      list(points.values())[:_CHECKED.value])))
  for name, args in points.items():
    arch, batch_size = args[:2]
    said = losses.get(name)
    if said:
      torch_nets.allow('float32')
      said['PyTorch'] = torch_nets.measure_loss(
          *args[:3], jax_nets.start(arch, 1, batch_size)[0])
      check(said)
    torch_nets.allow(precision)
    contestants = {
        'ours': made[name], 'PyTorch, eager': torch_nets.eager(*args)}
    if _SLOW.value:
      contestants |= slow(ours, args)
    rates = contest.alternate(contestants, _ROUNDS.value, _SECONDS.value)
    print(f'{name}: {arch.name}, batch size {batch_size}'
          + (f'; loss {said["ours"]:.5f}' if said else ''))
    print(contest.table(rates, 'ours', 'images/s'), flush=True)
    results[name] = {
        'arch': arch.name, 'batch_size': batch_size, 'losses': said,
        'augmentation': _AUGMENTATION.value, 'precision': precision,
        'images_per_second': rates,
        'ours_against': {other: contest.compare(rates, 'ours', other)
                         for other in rates if other != 'ours'}}
    contest.write(_NAME.value, results)  # so far, in case it is stopped
  ratios = [r['ours_against']['PyTorch, eager'][0] for r in results.values()]
  print(f'geometric mean over {len(ratios)} nets, against the eager loop: '
        f'{contest.mean(ratios):.2f}')


def slow(ours, args):
  """The slow contestants; on an accelerator `torch.func` alone."""
  import jax

  from benchmarks import jax_nets, torch_nets
  if jax_nets.mapped() == 'vmap':
    return {'PyTorch, torch.func': torch_nets.vmapped(
        *args[:3], networks=jax_nets.count_networks(args[1]))}
  return {
      'ours, vmapped': ours(
          *args, form='vmap', networks=8 * len(jax.devices())),
      'Flax, vmapped': jax_nets.flax(*args[:3]),
      'PyTorch, torch.func': torch_nets.vmapped(*args[:3]),
      'PyTorch, torch.compile': torch_nets.eager(*args, compile=True)}


def check(losses):
  """Raises unless all contestants compute the same loss, to 1e-4 of it."""
  for who, loss in losses.items():
    if abs(loss - losses['ours']) > 1e-4 * abs(loss):
      raise AssertionError(f'{who} has another loss: {losses}')


if __name__ == '__main__':
  app.run(main)

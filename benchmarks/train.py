"""Images/s of training: this package against other ways to do the same.

  python -m benchmarks.train                      all sixteen nets, the two that
                                                  are fast
  python -m benchmarks.train --slow --points=fixed,smallest   everyone

First all contestants say the same loss of the same weights and images; then
they take turns. PyTorch (pip install torch==2.13.0) has its own threads.
"""

from absl import app, flags

from benchmarks import contest, nets
from nws_jax.zoo import runtime

_POINTS = flags.DEFINE_list('points', list(nets.POINTS), 'nets to train')
_ROUNDS = flags.DEFINE_integer('rounds', 7, 'in each, all take their turn')
_SLOW = flags.DEFINE_bool('slow', False, 'the slow contestants, too')
_AUGMENTATION = flags.DEFINE_bool('augmentation', False, 'of all networks')
_NAME = flags.DEFINE_string('name', 'train', 'of the JSON file of results')


def main(_):
  runtime.start()
  from benchmarks import jax_nets, torch_nets
  from nws_jax.zoo import images
  image_set = images.load('fashion_mnist')
  results = {}
  print(contest.machine())
  for name in _POINTS.value:
    arch, batch_size = nets.point(name)
    args = arch, batch_size, image_set, _AUGMENTATION.value
    losses = {**jax_nets.measure_losses(*args[:3]),
              'PyTorch': torch_nets.measure_loss(
                  *args[:3], jax_nets.start(arch, 1, batch_size)[0])}
    check(losses)
    contestants = {
        'ours': jax_nets.ours(*args), 'PyTorch, eager': torch_nets.eager(*args)}
    if _SLOW.value:
      contestants |= {
          'ours, vmapped': jax_nets.ours(*args, form='vmap'),
          'Flax, vmapped': jax_nets.flax(*args[:3]),
          'PyTorch, torch.func': torch_nets.vmapped(*args[:3]),
          'PyTorch, torch.compile': torch_nets.eager(*args, compile=True)}
    rates = contest.alternate(contestants, _ROUNDS.value)
    print(f'{name}: {arch.name}, batch size {batch_size}; loss '
          f'{losses["ours"]:.5f}')
    print(contest.table(rates, 'ours', 'images/s'), flush=True)
    results[name] = {
        'arch': arch.name, 'batch_size': batch_size, 'losses': losses,
        'augmentation': _AUGMENTATION.value, 'images_per_second': rates,
        'ours_against': {other: contest.compare(rates, 'ours', other)
                         for other in rates if other != 'ours'}}
    contest.write(_NAME.value, results)  # what there is, should it be stopped
  ratios = [r['ours_against']['PyTorch, eager'][0] for r in results.values()]
  print(f'geometric mean over {len(ratios)} nets, against the eager loop: '
        f'{contest.mean(ratios):.2f}')


def check(losses):
  """Raises unless all contestants say the same loss, to 1e-4 of it."""
  for who, loss in losses.items():
    if abs(loss - losses['ours']) > 1e-4 * abs(loss):
      raise AssertionError(f'{who} has another loss: {losses}')


if __name__ == '__main__':
  app.run(main)

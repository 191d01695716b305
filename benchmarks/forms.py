"""Compares ways to compute the training step on an accelerator.

  python -m benchmarks.forms
  python -m benchmarks.forms --cases="fixed tf32 8 256,fixed tf32 row 256"

A case names an architecture, a precision, the columns of a tile (`+skew`: see
nws_jax/zoo/families/cnn/tiles.py), and the number of networks that train at
once; 0 is the number that the program would choose. The choices in
nws_jax/zoo/families/cnn/conv.py and nws_jax/zoo/price.py are based on these
measurements.
"""

import concurrent.futures
from typing import Any

from absl import app, flags

from benchmarks import contest, nets
from nws_jax.zoo import price, runtime
from nws_jax.zoo.families import layers
from nws_jax.zoo.families.cnn import conv

_CASES = flags.DEFINE_list('cases', [
    f'fixed {precision} {tile} 0' for precision in layers.DOTS
    for tile in (2, 4, 8, 'row', 'row+skew')],
                            'architecture, precision, tile, networks')
_ROUNDS = flags.DEFINE_integer('rounds', 3, 'rounds in which all alternate')
_SECONDS = flags.DEFINE_float('seconds', 0.3, 'seconds per turn')


def main(argv: list[str]) -> None:
  runtime.start()
  print(contest.machine())
  with concurrent.futures.ThreadPoolExecutor() as pool:
    made = dict(zip(_CASES.value, pool.map(make, _CASES.value)))
  rates = contest.alternate(made, _ROUNDS.value, _SECONDS.value)
  results = {}
  for case, contestant in made.items():
    results[case] = {
        'images_per_second': rates[case], **contestant.facts,
        'priced_bytes_a_network': price.count_bytes(
            *nets.point(case.rsplit(maxsplit=3)[0]), 'gpu')}
    print(f'{case:28} {contest.median(rates[case]):12,.0f} images/s; '
          f'{contestant.facts["bytes_an_image"] / 1e3:,.0f} kB per image; '
          f'{contestant.facts["bytes_a_network"] / 1e6:.1f} MB per network')
  contest.write('forms', results)


def make(case: str) -> contest.Contestant:
  """The contestant for a case."""
  from benchmarks import jax_nets
  from nws_jax.zoo import images
  *name, precision, tile, networks = case.split()
  tile, *ways = tile.split('+')  # '8+skew'
  changes: dict[str, Any] = {'skew': 'skew' in ways}
  changes['tile'] = conv.WHOLE if tile == 'row' else int(tile)
  return jax_nets.ours(
      *nets.point(' '.join(name)), images.load('fashion_mnist'), False, 'vmap',
      int(networks), precision, **changes)


if __name__ == '__main__':
  app.run(main)

"""Compares a compiled training step with the peak rates of the device.

  python -m benchmarks.roofline --points=fixed,smallest,largest

The peak rates are measured in alternation with the step: copying arrays that
exceed the caches, and one large matrix product. Operations and bytes are XLA's
own count (`cost_analysis`, whose bytes do not account for caches); `direct`
counts the multiplications and additions of the network's convolutions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from absl import app, flags

from benchmarks import contest, nets
from nws_jax import published
from nws_jax.zoo import recipe, runtime
from nws_jax.zoo.families import layers

if TYPE_CHECKING:
  import jax

_POINTS = flags.DEFINE_list(
    'points', ['fixed', 'smallest', 'largest'], 'architectures')
_PRECISION = flags.DEFINE_enum(
    'precision', 'float32', recipe.PRECISIONS, 'of matrix products')
_ROUNDS = flags.DEFINE_integer('rounds', 5, 'rounds in which all alternate')


def main(argv: list[str]) -> None:
  runtime.start()
  from benchmarks import jax_nets
  from nws_jax.zoo import images
  image_set = images.load('fashion_mnist')
  results = {}
  print(contest.machine())

  def make(name: str) -> tuple[contest.Contestant, Any]:
    point = nets.point(name)
    return (jax_nets.ours(*point, image_set, False, precision=_PRECISION.value),
            jax_nets.count_step(*point, _PRECISION.value))

  for name, (ours, step) in zip(
      _POINTS.value, jax_nets.compile_all(make, _POINTS.value)):
    arch, batch_size = nets.point(name)
    rates = contest.alternate(
        {'ours': ours, 'copy': copy(), 'dot': dot()}, _ROUNDS.value)
    images_s, copied, flops = (contest.median(rates[n])
                               for n in ('ours', 'copy', 'dot'))
    plain = count_plain(arch)
    each = {k: v / batch_size for k, v in step.items()}
    results[name] = {
        'images_per_second': images_s, 'copy_bytes_per_second': copied,
        'dot_flops_per_second': flops, 'flops_per_image': each['flops'],
        'bytes_per_image': each['bytes accessed'], 'plain_flops': plain,
        'of_dot_rate': images_s * each['flops'] / flops,
        'of_dot_rate_plain': images_s * plain / flops,
        'of_copy_rate': images_s * each['bytes accessed'] / copied}
    print(f'{name}: {images_s:,.0f} images/s; an image takes '
          f'{each["flops"] / 1e6:.1f} MFLOP ({plain / 1e6:.1f} direct) and '
          f'{each["bytes accessed"] / 1e6:.2f} MB\n'
          f'  device: {flops / 1e9:.0f} GFLOP/s in matrix products, '
          f'{copied / 1e9:.1f} GB/s of copies, read and written\n'
          f'  reached: {results[name]["of_dot_rate"]:.0%} of the peak FLOP '
          f'rate ({results[name]["of_dot_rate_plain"]:.0%} direct), '
          f'{results[name]["of_copy_rate"]:.0%} of the copy rate', flush=True)
  contest.write(
      'roofline' + f'_{_PRECISION.value}' * (_PRECISION.value != 'float32'),
      results)


def _on_all(fn: Callable[[jax.Array], jax.Array], *shape: int
            ) -> tuple[Callable[[], None], int]:
  """Calls `fn` with an array on every device at once."""
  import jax
  xs = [jax.device_put(jax.random.normal(jax.random.key(0), shape), d)
        for d in jax.devices()]
  compiled = jax.jit(fn)

  def run() -> None:
    jax.block_until_ready([compiled(x) for x in xs])

  return run, len(xs)


def copy() -> contest.Contestant:
  import jax
  n = 1 << (25 if jax.default_backend() == 'cpu' else 30)
  run, devices = _on_all(lambda x: x + 1, n)
  return contest.Contestant(run, devices * 2 * 4 * n)


def dot() -> contest.Contestant:
  import jax
  import jax.numpy as jnp

  from nws_jax.zoo.families.cnn import conv
  n = 2048 if jax.default_backend() == 'cpu' else 8192
  dtype = conv.Form(precision=_PRECISION.value).dtype or jnp.float32
  run, devices = _on_all(
      lambda x: jnp.dot(x.astype(dtype), x.astype(dtype),
                        precision=layers.DOTS[_PRECISION.value]), n, n)
  return contest.Contestant(run, devices * 2 * n ** 3)


def count_plain(arch: published.Architecture) -> int:
  """Operations of training on one image, with direct convolutions."""
  from nws_jax.zoo.families.cnn import cost
  total = 0
  for n, (layer, side) in enumerate(cost.walk(arch)):
    *window, into, out = layer.kernel
    area = side * side * window[0] * window[1] if window else 1
    total += 2 * area * into * out * (3 if n else 2)
  return total


if __name__ == '__main__':
  app.run(main)

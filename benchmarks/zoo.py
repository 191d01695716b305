"""Compares the whole command with bare training.

  python -m benchmarks.zoo --networks=64,256,1024

Runs `python -m nws_jax.zoo` on the embedded Fashion-MNIST images without
augmentation, with an evaluation and a snapshot every epoch; the smallest zoo
also with an empty compilation cache. The bare training of the same architecture
is timed before and after each run. `kept` is the time that bare training takes
for the same images, divided by the time of the command, which includes the
start of Python. On an accelerator an epoch of so few images takes less than a
second; use more of them there:

  XLA_PYTHON_CLIENT_PREALLOCATE=false python -m benchmarks.zoo --point=fixed \\
      --repeat=25 --networks=256
"""

import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
from absl import app, flags

from benchmarks import contest, nets
from nws_jax import published
from nws_jax.zoo import images, recipe, runtime

_NETWORKS = flags.DEFINE_list('networks', ['64', '256'], 'sizes of the zoos')
_EPOCHS = flags.DEFINE_integer('epochs', 4, 'epochs of every network')
_REPEAT = flags.DEFINE_integer(
    'repeat', 1, 'how often the training images are repeated: 25 times make an '
    'epoch as long as that of a full set')
_PRECISION = flags.DEFINE_enum(
    'precision', 'float32', recipe.PRECISIONS, 'of matrix products')
_POINT = flags.DEFINE_enum(
    'point', 'smallest', list(nets.POINTS), 'architecture')


# Runs `python -m nws_jax.zoo` with the training images repeated.
_REPEATED = """
import runpy, sys
from benchmarks import zoo
from nws_jax.zoo import images
load, times = images.load, int(sys.argv.pop(1))
images.load = lambda *args: zoo.repeat(load(*args), times)
runpy.run_module('nws_jax.zoo', run_name='__main__', alter_sys=True)
"""


def repeat(image_set: images.ImageSet, times: int) -> images.ImageSet:
  """The set with its training images repeated."""
  return image_set._replace(
      train_images=np.concatenate([image_set.train_images] * times),
      train_labels=np.concatenate([image_set.train_labels] * times))


def main(argv: list[str]) -> None:
  runtime.start()
  from benchmarks import jax_nets
  image_set = repeat(images.load('fashion_mnist'), _REPEAT.value)
  arch, batch_size = nets.point(_POINT.value)
  bare = {'bare': jax_nets.ours(arch, batch_size, image_set, False,
                                precision=_PRECISION.value)}
  steps = images.an_epoch(image_set) // batch_size
  results: dict[int, Any] = {}
  print(contest.machine())
  with tempfile.TemporaryDirectory() as folder:
    for networks in sorted(map(int, _NETWORKS.value)):
      cold = None
      if not results:
        cold, _ = run(arch, batch_size, networks, folder, 'cold')
      before = contest.alternate(bare, 5)['bare']
      warm, peak = run(arch, batch_size, networks, folder, str(networks))
      rates = before + contest.alternate(bare, 5)['bare']
      trained = networks * _EPOCHS.value * steps * batch_size
      results[networks] = {
          'seconds': warm, 'seconds_with_compilation': cold,
          'bare_images_per_second': rates, 'images': trained,
          'kept': trained / contest.median(rates) / warm, 'peak_mb': peak}
      print(f'{networks:5} networks: {warm:6.1f} s'
            + (f', {cold:.1f} s with an empty cache' if cold else '')
            + f'; {trained / warm:,.0f} images/s of '
            f'{contest.median(rates):,.0f} bare: '
            f'{results[networks]["kept"]:.0%} kept; peak {peak:,.0f} MB',
            flush=True)
  contest.write('zoo', results)


def run(arch: published.Architecture, batch_size: int, networks: int,
        folder: str, name: str) -> tuple[float, float]:
  """(seconds, peak MB of memory) of one run of the command."""
  config = {
      'networks': networks, 'epochs': _EPOCHS.value, 'datasets':
      'fashion_mnist', 'augmentation': False, 'batch_size': batch_size,
      'precision': _PRECISION.value,
      'filter_size': arch.filter_size, 'depth_conv': arch.depth_conv,
      'depth_fc': arch.depth_fc, 'width_conv': arch.width_conv,
      'width_fc': arch.width_fc}
  command = (('-m', 'nws_jax.zoo') if _REPEAT.value == 1 else
             ('-c', _REPEATED, str(_REPEAT.value)))
  begin = time.perf_counter()
  log = os.path.join(folder, f'{name}.log')
  with open(log, 'w') as output:
    child = subprocess.Popen(
        [sys.executable, *command, '--config=configs/zoo.py',
         f'--workdir={os.path.join(folder, name)}',
         *(f'--config.{k}={v}' for k, v in config.items())],
        env={**os.environ, 'XDG_CACHE_HOME': os.path.join(folder, 'cache')},
        stdout=output, stderr=output)
    _, status, usage = os.wait4(child.pid, 0)
  seconds = time.perf_counter() - begin
  with open(log) as output:
    text = output.read()
  if status or f'{networks} networks' not in text:
    raise SystemExit(f'the command failed:\n{text}')
  return seconds, usage.ru_maxrss / 1024  # of this run, not of earlier ones


if __name__ == '__main__':
  app.run(main)

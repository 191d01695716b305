"""Measures how fast snapshots are written and read.

  python -m benchmarks.store --networks=1000 --epochs=10

Writes networks of the fixed architecture with random weights, one unit after
another, durably and in the way of the trainer; then reads one network, one
trajectory and one window of all networks through `open_zoo`.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from absl import app, flags

from benchmarks import contest, nets
from nws_jax import published
from nws_jax.store import snapshots
from nws_jax.zoo.families.cnn import shapes

_NETWORKS = flags.DEFINE_integer('networks', 1000, 'networks written')
_EPOCHS = flags.DEFINE_integer('epochs', 5, 'snapshots of each network')
_AT_ONCE = flags.DEFINE_integer('at_once', 64, 'networks per unit')
_FOLDER = flags.DEFINE_string('folder', '', 'folder on the disk to measure')


def main(argv: list[str]) -> None:
  arch, _ = nets.point('fixed')
  folder = tempfile.mkdtemp(dir=_FOLDER.value or None)
  try:
    results = measure(arch, folder)
  finally:
    shutil.rmtree(folder)
  for name, value in results.items():
    print(f'{name:44} {value:10,.1f}')
  contest.write('store', results)


def measure(arch: published.Architecture, folder: str) -> dict[str, float]:
  """{name: measurement}; the last word of a name is the unit."""
  total, epochs, each = _NETWORKS.value, _EPOCHS.value, _AT_ONCE.value
  counts = [min(each, total - n) for n in range(0, total, each)]
  rng, writer = np.random.default_rng(0), snapshots.Writer()
  p = shapes.layout(arch).num_weights
  written = 0.0
  for unit, count in enumerate(counts):
    for epoch in range(epochs):
      tree = shapes.layout(arch).to_variables(
          rng.standard_normal((count, p), np.float32))
      begin = time.perf_counter()
      writer.save(_path(folder, unit, epoch), tree)
      writer.wait()  # durable
      written += time.perf_counter() - begin

  def read(units: Iterable[int], networks: Callable[[int], Sequence[int]],
             snapshot_numbers: Iterable[int], *window: int) -> list[np.ndarray]:
    return [snapshots.read_vectors(_path(folder, u, e), shapes.layout(arch),
                                   networks(u), snapshots.Window(*window))
            for u in units for e in snapshot_numbers]

  every, one, size = range(len(counts)), range(1), 4 * p * epochs * total / 1e6
  return {
      'size of all, MB': size,
      'written and made durable, MB/s': size / written,
      'one network after one epoch, ms': median_ms(lambda: read(
          one, lambda _: [counts[0] // 2], one)),
      f'its trajectory of {epochs} epochs, ms': median_ms(lambda: read(
          one, lambda _: [counts[0] // 2], range(epochs))),
      f'5,000 values of {total:,} networks, one epoch, ms': median_ms(
          lambda: read(every, lambda u: range(counts[u]), one, 20_000,
                       25_000)),
      f'all values of {total:,} networks, one epoch, MB/s':
          4e-6 * p * total / (median_ms(lambda: read(
              every, lambda u: range(counts[u]), one)) / 1e3)}


def _path(folder: str, unit: int, epoch: int) -> str:
  return os.path.join(folder, f'{unit:04d}', f'{epoch:04d}')


def median_ms(fn: Callable[[], object], times: int = 5) -> float:
  """Median milliseconds of a call; the files are in the system's cache."""
  taken = []
  for _ in range(times):
    begin = time.perf_counter()
    fn()
    taken.append(1e3 * (time.perf_counter() - begin))
  return contest.median(taken)


if __name__ == '__main__':
  app.run(main)

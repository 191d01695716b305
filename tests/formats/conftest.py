"""A published folder, written by its description alone."""

import csv

import numpy as np
import pytest

HEAD = ('dataset,lrate,batch_size,batch_norm,augmentation,optimizer,activation,'
        'initialization,filter_size,depth_conv,depth_fc,width_conv,width_fc')
# Two architectures; values a network by hand: kernel, bias and four vectors of
# each convolution; then of each hidden layer; then the output's two.
SHAPES = {(1, 3, 1, 1, 8): (8 + 12 + 28, 16 * 4 * 8 + 5 * 8 + 8 * 20 + 20),
          (3, 3, 2, 1, 8): (27 + 5 + 18 + 10 + 72 + 20,
                            16 * 4 * 8 + 5 * 8 + 8 * 4 + 5 * 4 + 4 * 20 + 20)}


@pytest.fixture
def publish():
  """publish(root, sides, evaluations) -> [dict of each network].

  Networks 0001, 0002, ... of two architectures in turn, all different.
  """
  return _publish



def _publish(root, sides=('train',) * 5 + ('test',) * 3, evaluations=4,
             shapes=SHAPES):
  root.mkdir(parents=True, exist_ok=True)
  rng, networks, rows = np.random.default_rng(5), [], {}
  for n, side in enumerate(sides):
    shape = sorted(shapes)[n % 2]
    conv, fc = shapes[shape]
    folder = root / 'runs' / f'{n + 1:04d}'
    (folder / 'weights').mkdir(parents=True)
    count = min(20, evaluations)
    weights_ExP = rng.normal(size=(count, conv + fc)).astype('float32')
    for e, vector_P in enumerate(weights_ExP):
      vector_P.astype('float64').tofile(
          folder / 'weights' / f'{e + 1:03d}.bin')
    error_Tx5 = rng.uniform(5, 95, (evaluations, 5))
    error_Tx5[:, 0] = np.arange(evaluations) * 112
    error_Tx5.tofile(folder / 'error.bin')
    np.array([evaluations, 112 * (evaluations - 1), evaluations - 1.25,
              61.5 + n]).tofile(folder / 'stat.bin')
    values = (('svhn', 'fashion', 'mnist')[n % 3], 0.0002 + n / 3e4,
              (32, 256)[n % 2], True, n % 3 == 0, n % 3, n % 4, (n + 1) % 4,
              *shape)
    with open(folder / 'meta.csv', 'w', newline='') as f:
      csv.writer(f).writerows([HEAD.split(','), values])
    rows.setdefault(side, []).append(
        (*values, conv, fc, f'/mnt/raid/runs/{n + 1:04d}'))
    networks.append({'folder': folder, 'side': side, 'values': values,
                     'weights': weights_ExP, 'error': error_Tx5})
  for side, lines in rows.items():
    with open(root / f'nws_main_{side}.csv', 'w', newline='') as f:
      csv.writer(f).writerows([
          [*HEAD.split(','), 'weightn_conv', 'weightn_fc', 'path'], *lines])
  return networks

"""Populations to train.

  python -m nws_jax.zoo --config=configs/zoo.py
      192 networks on three small real image sets: 279 s on two CPU cores,
      median test accuracy 0.74, and 0.91 of the Glorot-initialised
  python -m nws_jax.zoo --config=configs/zoo.py:smoke --workdir=/tmp/zoo
      100 networks of two optimizers and two batch sizes, two epochs: 28 s

A property's key lists the values it is drawn from; one value fixes it:
`--config.batch_size=32`, `--config.optimizer=adam,momentum`,
`--config.learning_rate=0.001,0.01` (a range).
"""

import ml_collections

from nws_jax import errors


def _default():
  c = ml_collections.ConfigDict()
  c.seed = 0  # every draw follows from it and the network's id
  c.networks = 192
  c.replicates = 1  # networks of each setting, which differ in their draws
  c.sampling = 'balanced'  # or 'independent', as published
  c.epochs = 10
  c.networks_per_program = 'auto'

  c.dataset_source = 'embedded'  # or 'tfds': see python -m nws_jax.data
  c.data_dir = ''  # of the full sets; TFDS's own folder if empty
  c.test_part = 250  # test images looked at every epoch; all at the end
  c.eval_bn = 'running'  # or 'batch': as the published figures were measured
  c.lr_decay = 0.96  # an epoch, as published; 1.0 is what its code ran
  c.early_stopping = 0  # drops of validation accuracy that stop; published: 5
  c.precision = 'float32'

  c.datasets = ('fashion_mnist', 'mnist', 'digits')
  c.learning_rate = (0.0002, 0.005)  # uniform between
  c.batch_size = (16, 32, 64)  # these sets have 1,800 training images at most
  c.batch_norm = (True,)
  c.augmentation = (False, True)
  c.optimizer = ('adam', 'rmsprop', 'momentum')
  c.activation = ('relu', 'elu', 'sigmoid', 'tanh')
  c.initialization = ('constant', 'normal', 'glorot_uniform', 'glorot_normal')
  c.filter_size = (3,)  # the smallest net of the published space
  c.depth_conv = (3,)
  c.depth_fc = (2,)
  c.width_conv = (4,)
  c.width_fc = (64,)
  return c


def _smoke():
  c = _default()
  c.networks = 100
  c.epochs = 2
  c.datasets = ('digits',)
  c.batch_size = (32, 128)
  c.augmentation = (False,)
  c.optimizer = ('adam', 'momentum')
  c.activation = ('relu',)
  c.initialization = ('glorot_uniform',)
  return c


PRESETS = {'default': _default, 'smoke': _smoke}


def get_config(preset='default'):
  if preset not in PRESETS:
    raise errors.Wrong(f'configs/zoo.py has no preset {preset!r}; there are '
                       f'{", ".join(PRESETS)}.')
  return PRESETS[preset]()

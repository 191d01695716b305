"""Populations to train.

  python -m nws_jax.zoo --config=configs/zoo.py
      192 networks on three small real image sets: 220 to 553 s on two CPU
      cores; median test accuracy 0.73, and 0.91 with Glorot initialisation
  python -m nws_jax.zoo --config=configs/zoo.py:smoke --workdir=runs/smoke
      100 networks of two optimizers and two batch sizes, two epochs: 28 s
  python -m nws_jax.zoo --config=configs/zoo.py:study --workdir=runs/study
      512 networks of the published fixed architecture on the same sets, eight
      epochs, the population of docs/study.md: 25 minutes on a shared machine
  python -m nws_jax.zoo --config=configs/zoo.py:mlp --workdir=runs/mlp
      96 multilayer perceptrons of four architectures, six epochs
  python -m nws_jax.zoo --config=configs/zoo.py:fixed --workdir=runs/fixed
      nws_fixed: 3,000 networks of one architecture, 20 snapshots each
  python -m nws_jax.zoo --config=configs/zoo.py:main --workdir=runs/main
      nws_main: 13,000 networks of 243 architectures, 20 snapshots each

The last two (fixed, main) are the published populations, which follow
docs/recipe.md except for its section 17. They need the five full image sets
(python -m nws_jax.data
--prepare=mnist,fashion_mnist,cifar10,svhn_cropped,stl10) and an accelerator.
--plan prints the number of programs, the time, the memory and the disk space
before anything runs (on two CPU cores and two of the sets: 14 days and 96 days
of training). A small sample of `main` on the embedded sets takes 14 programs
and half an hour on two busy cores:

  python -m nws_jax.zoo --config=configs/zoo.py:main --config.networks=64 \\
      --config.dataset_source=embedded --config.datasets=fashion_mnist,mnist \\
      --config.epochs=3 --workdir=runs/part

The key of a property lists the values that it is drawn from; one value fixes
it: `--config.batch_size=32`, `--config.optimizer=adam,momentum`,
`--config.learning_rate=0.001,0.01` (a range, drawn uniformly).
"""

import ml_collections

from nws_jax import errors


def _default() -> ml_collections.ConfigDict:
  c = ml_collections.ConfigDict()
  c.family = 'cnn'  # the kind of networks, of nws_jax/zoo/families
  c.seed = 0  # it and a network's id determine every draw
  c.networks = 192
  c.replicates = 1  # networks of each setting, which differ only in seeds
  c.sampling = 'balanced'  # or 'independent', as published
  c.epochs = 10
  c.keep = 'all'  # snapshots of each network; or a number, evenly spread

  # 'auto': 64 on CPU; on an accelerator the fewest that fill it, measured.
  c.networks_per_program = 'auto'
  c.merge = True  # networks of several shapes share a program by masks
  c.compile_ahead = True  # compiles the next program while this one trains
  c.disk_gb = 0.0  # disk space that it may take; 0.0: all that is free

  c.dataset_source = 'embedded'  # or 'tfds': see python -m nws_jax.data
  c.data_dir = ''  # folder of the full sets; '' is TFDS's default
  c.test_part = 250  # test images evaluated each epoch; all at the end
  c.eval_bn = 'running'  # or 'batch', as in the published evaluation
  c.eval_augmentation = False  # True as in the published evaluation
  c.lr_decay = 0.96  # per epoch, as published; the released code ran 1.0
  # Drops of validation accuracy after which training stops; 0: never.
  # Published: 5.
  c.early_stopping = 0
  # Of matrix products in training: 'float32', or on an accelerator that
  # supports them 'tf32' or 'bfloat16'. Weights, updates and evaluations are
  # always float32.
  c.precision = 'float32'
  # 'auto': the fastest on the platform; 'banded': plain sums of products;
  # 'toom_cook': fewer products in wide layers (zoo/families/cnn/tiles.py).
  c.convolution = 'auto'

  c.datasets = ('fashion_mnist', 'mnist', 'digits')
  c.learning_rate = (0.0002, 0.005)
  c.batch_size = (16, 32, 64)  # these sets have 1,800 training images at most
  c.batch_norm = (True,)
  c.augmentation = (False, True)
  # Also: nesterov; lion, which needs a lower learning rate than adam.
  c.optimizer = ('adam', 'rmsprop', 'momentum')
  # Also: leaky_relu, selu, softplus, softsign.
  c.activation = ('relu', 'elu', 'sigmoid', 'tanh')
  c.initialization = ('constant', 'normal', 'glorot_uniform', 'glorot_normal')
  # The smallest architecture of the published space.
  c.filter_size = (3,)
  c.depth_conv = (3,)
  c.depth_fc = (2,)
  c.width_conv = (4,)
  c.width_fc = (64,)
  c.weight_decay = (0.0,)  # decoupled; of kernels, times the learning rate
  c.dropout = (0.5,)  # rate
  return c


def _smoke() -> ml_collections.ConfigDict:
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


def _mlp() -> ml_collections.ConfigDict:
  c = _default()
  c.family = 'mlp'
  for name in _FIXED:  # properties of the CNN
    del c[name]
  c.networks = 96
  c.epochs = 6
  c.datasets = ('mnist', 'digits')
  c.batch_size = (32,)
  c.batch_norm = (True, False)
  c.activation = ('relu', 'tanh')
  c.initialization = ('normal', 'glorot_uniform', 'glorot_normal')
  c.depth = (1, 2)  # hidden layers
  c.width = (32,)  # units of each
  c.dropout = (0.2,)
  return c


def _main() -> ml_collections.ConfigDict:
  c = _default()  # properties not set here are drawn as published
  c.networks = 13_000
  c.sampling = 'independent'
  c.epochs = 1000
  c.early_stopping = 5
  c.keep = '20'
  c.dataset_source = 'tfds'
  c.test_part = 26_032  # the largest test set: all images, each epoch
  c.datasets = ('mnist', 'cifar10', 'svhn_cropped', 'stl10', 'fashion_mnist')
  c.batch_size = (32, 64, 128, 256)
  c.filter_size = (3, 5, 7)
  c.depth_conv = (3, 4, 5)
  c.depth_fc = (2, 3, 4)
  c.width_conv = (4, 8, 12)
  c.width_fc = (64, 128, 192)
  return c


def _fixed() -> ml_collections.ConfigDict:
  c = _main()
  c.seed = 1  # so that it shares no draw with main
  c.networks = 3000
  c.update(_FIXED)
  return c


def _study() -> ml_collections.ConfigDict:
  c = _default()
  c.networks = 512
  c.epochs = 8
  c.update(_FIXED)
  return c


_FIXED = {'filter_size': (5,), 'depth_conv': (3,), 'depth_fc': (2,),
          'width_conv': (8,), 'width_fc': (128,)}  # nws_fixed's architecture
PRESETS = {'default': _default, 'smoke': _smoke, 'study': _study,
           'mlp': _mlp, 'fixed': _fixed, 'main': _main}


def get_config(preset: str = 'default') -> ml_collections.ConfigDict:
  if preset not in PRESETS:
    raise errors.Wrong(f'configs/zoo.py has no preset {preset!r}; there are '
                       f'{", ".join(PRESETS)}.')
  return PRESETS[preset]()

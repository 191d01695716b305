"""Reads how networks were trained from their weights.

  python -m nws_jax.meta --target=batch_size
      Trains and tests a meta-classifier on runs/zoo: its accuracy per network
      and per window with 95 % intervals, and chance.
  python -m nws_jax.meta --target=learning_rate --config.seed=1
      Regresses a number; any key of the config file can be set.
  python -m nws_jax.meta --target=optimizer --ablate=layer,epoch
      A grid: the accuracy from each layer alone after each epoch alone.
  python -m nws_jax.meta --target=dataset --config=configs/meta.py:published
      The published CNN on windows of 5,000 weights.
  python -m nws_jax.meta --target=optimizer --ladder
      All classifiers, from the majority to the equivariant network.
  python -m nws_jax.meta --target=optimizer --hold_out=dataset=digits
      Trains on networks of the other data sets and tests on those of digits.
  python -m nws_jax.meta --target=optimizer --ablate=hold_out --hold_out=dataset
      The same for each data set in turn.
  python -m nws_jax.meta --target=learning_rate --bins=3 --exclude=mean,variance
      Thirds of a number, from weights without the running statistics.
  python -m nws_jax.meta --target=optimizer --explain
      Adds to the result which weights the predictions depend on, the typical
      weights of each class, and a map of all networks.

Targets: dataset, learning_rate, batch_size, batch_norm, augmentation,
optimizer, activation, initialization, filter_size, depth_conv, depth_fc,
width_conv, width_fc, weight_decay, dropout, test_accuracy, generalization_gap,
epoch, same_setting and any other column of members.csv, if they vary in the
zoo. Numbers of many values are regressed.

Writes result.json, predictions.csv and model/, or ablation.csv, .json and .png,
into <workdir>/<target>/<digest of the request>/. The same command again prints
the result that is there.
"""

import os
import time
from typing import TYPE_CHECKING

from absl import flags

from nws_jax import cli, errors, options, paths

if TYPE_CHECKING:
  from nws_jax.meta import request as requests

_FLAGS = flags.FlagValues()
_CONFIG = options.define_config('configs/meta.py:published', _FLAGS)
_ZOO = options.define_path('zoo', 'runs/zoo', 'The zoo to read.', _FLAGS)
_WORKDIR = options.define_path(
    'workdir', 'runs/meta', 'Folder of results.', _FLAGS)
_TARGET = flags.DEFINE_string(
    'target', None, 'The property to read.', flag_values=_FLAGS)
_CLASSIFIER = flags.DEFINE_string(
    'classifier', None, 'Instead of the config\'s: majority, logistic, svm, '
    'boosting, fast, cnn, transformer or equivariant.', flag_values=_FLAGS)
_LADDER = flags.DEFINE_bool(
    'ladder', False, 'Runs all classifiers and prints one table.',
    flag_values=_FLAGS)
_SAVE = flags.DEFINE_bool(
    'save', True, 'Keeps the trained classifier, for nws_jax.identify.',
    flag_values=_FLAGS)
_ABLATE = flags.DEFINE_string(
    'ablate', None, 'Makes a grid over some of layer, tensor, part, position, '
    'window, pooled, epoch, train_epoch, hold_out: as layer,epoch.',
    flag_values=_FLAGS)
_EXPLAIN = flags.DEFINE_bool(
    'explain', False, 'Adds which weights the predictions depend on, the '
    'typical weights of each class, and a map of all networks.',
    flag_values=_FLAGS)
_SHORT = {  # for keys of the config
    'window': flags.DEFINE_integer(
        'window', None, 'Number of weights of a window.', flag_values=_FLAGS),
    'balance': flags.DEFINE_bool(
        'balance', None, 'Reads equally many networks of every class.',
        flag_values=_FLAGS),
    'bins': flags.DEFINE_integer(
        'bins', None, 'Cuts a number into this many quantiles.',
        flag_values=_FLAGS),
    'exclude': flags.DEFINE_string(
        'exclude', None, 'Tensors that are not read: mean,variance.',
        flag_values=_FLAGS),
    'hold_out': flags.DEFINE_string(
        'hold_out', None, 'Tests on one level of a property and trains on the '
        'others: dataset=digits. With --ablate=hold_out on each level in turn: '
        'dataset.', flag_values=_FLAGS)}
_CONTROLS = flags.DEFINE_bool(
    'controls', None, 'Runs all controls; --nocontrols: none.',
    flag_values=_FLAGS)
_FORCE = flags.DEFINE_bool(
    'force', False, 'Trains again even if the result exists.',
    flag_values=_FLAGS)


def main() -> None:
  begin = time.monotonic()
  paths.check_saving(_WORKDIR.value, '--workdir')
  request = _ask()
  if request.zoo.extent is not None:
    print(f'{request.zoo.path}: {request.zoo.extent.tell()}')
  from nws_jax.meta import making, summary
  where = making.Where(_WORKDIR.value, _FORCE.value, _SAVE.value)
  if _LADDER.value:
    making.run_ladder(request, where)
    return
  done = making.find_record(_WORKDIR.value, request)
  if (os.path.exists(done) and not where.force
      or not making.make(request, where, begin)):
    print(f'{done} exists; --force makes it again.\n')
  print(summary.show(done))
  if _EXPLAIN.value:
    making.explain(request, where)


def _ask() -> 'requests.Request':
  """The checked request; only this module knows flags and the config."""
  config = dict(_CONFIG.value)
  if not _TARGET.value:
    raise errors.Wrong('--target is missing; try --target=batch_size, or see '
                       '--help for all.')
  from nws_jax.meta import settings
  from nws_jax.meta.classifiers import table
  config |= {k: f.value for k, f in _SHORT.items() if f.value is not None}
  if _CONTROLS.value is not None:
    config['controls'] = 'all' if _CONTROLS.value else 'none'
  if _CLASSIFIER.value is not None:
    config['classifier'] = _CLASSIFIER.value
  if _LADDER.value:
    if _CLASSIFIER.value is not None or _ABLATE.value is not None:
      raise errors.Wrong('--ladder runs all classifiers for one number: '
                         'leave out --classifier and --ablate.')
    config['classifier'] = table.FIRST
    if _CONTROLS.value is None:
      config['controls'] = 'none'  # the rungs are compared with each other
  if _EXPLAIN.value and (_LADDER.value or _ABLATE.value is not None
                         or not _SAVE.value):
    raise errors.Wrong('--explain needs one number and a classifier that is '
                       'kept: leave out --ladder, --ablate and --nosave.')
  checked = settings.from_config(config)
  from nws_jax import api
  from nws_jax.meta import request as requests_lib
  from nws_jax.meta.answers import ablation, controls
  controls.list_named(checked.controls)
  axes = () if _ABLATE.value is None else ablation.parse_axes(_ABLATE.value)
  request = requests_lib.make(api.Zoo(_ZOO.value), _TARGET.value, checked, axes)
  if _EXPLAIN.value:
    from nws_jax.meta.explain import explanation
    explanation.check(request)
  return request


if __name__ == '__main__':
  cli.run(main, _FLAGS, config='meta')

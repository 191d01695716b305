"""Reads how networks were trained from their weights.

  python -m nws_jax.meta --target=batch_size
      trains and tests a meta-classifier on runs/zoo; its accuracy per network
      and per window with 95 % intervals, and chance beside them
  python -m nws_jax.meta --target=learning_rate --config.seed=1
      learning_rate, weight_decay, dropout and test_accuracy are regressed; any
      key of the config file can be set
  python -m nws_jax.meta --target=optimizer --ablate=layer,epoch
      how well each layer alone tells it after each epoch alone: a grid
  python -m nws_jax.meta --target=dataset --config=configs/meta.py:published
      the published CNN on windows of 5,000 weights

  python -m nws_jax.meta --target=optimizer --ladder
      from the majority to the equivariant network, one table
  python -m nws_jax.meta --target=optimizer --hold_out=dataset=digits
      learns from networks on the other sets, tests on those on digits
  python -m nws_jax.meta --target=learning_rate --bins=3 --exclude=mean,variance
      thirds of a number, from weights without the running statistics

  python -m nws_jax.meta --target=optimizer --explain
      which weights say so, what the weights of each class look like, and a map
      of all networks, beside result.json

Targets: dataset, learning_rate, batch_size, batch_norm, augmentation,
optimizer, activation, initialization, filter_size, depth_conv, depth_fc,
width_conv, width_fc, weight_decay, dropout, test_accuracy, generalization_gap,
epoch, same_setting and any column of members.csv; those that vary in the zoo.

Writes result.json, predictions.csv and model/, or ablation.csv, .json and .png,
into <workdir>/<target>/<digest of the request>/. The same request again prints
what is there.
"""

import os
import pathlib
import sys
import time

from absl import flags
from ml_collections import config_flags

import nws_jax
from nws_jax import cli, errors, say

_CONFIGS = pathlib.Path(nws_jax.__file__).parents[1] / 'configs' / 'meta.py'
_FLAGS = flags.FlagValues()
_CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'Config file and preset, as configs/meta.py:published. '
    'Keys are set by --config.key=value.', flag_values=_FLAGS)
_ZOO = flags.DEFINE_string(
    'zoo', 'runs/zoo', 'The zoo to read.', flag_values=_FLAGS)
_WORKDIR = flags.DEFINE_string(
    'workdir', 'runs/meta', 'Folder of results.', flag_values=_FLAGS)
_TARGET = flags.DEFINE_string(
    'target', None, 'The property to read.', flag_values=_FLAGS)
_CLASSIFIER = flags.DEFINE_string(
    'classifier', None, 'In place of the config\'s: majority, logistic, svm, '
    'boosting, fast, cnn, transformer or equivariant.', flag_values=_FLAGS)
_LADDER = flags.DEFINE_bool(
    'ladder', False, 'All classifiers, one after another, and one table.',
    flag_values=_FLAGS)
_SAVE = flags.DEFINE_bool(
    'save', True, 'Keep the trained classifier, for nws_jax.identify.',
    flag_values=_FLAGS)
_ABLATE = flags.DEFINE_string(
    'ablate', None, 'Makes a grid over some of layer, tensor, part, position, '
    'window, pooled, epoch, train_epoch, hold_out: as layer,epoch.',
    flag_values=_FLAGS)
_EXPLAIN = flags.DEFINE_bool(
    'explain', False, 'Beside the result: which weights it rests on, what they '
    'look like in each class, and a map of all networks.', flag_values=_FLAGS)
_SHORT = {  # for keys of the config
    'window': flags.DEFINE_integer(
        'window', None, 'Weights that a window holds.', flag_values=_FLAGS),
    'balance': flags.DEFINE_bool(
        'balance', None, 'As many networks of every class.',
        flag_values=_FLAGS),
    'bins': flags.DEFINE_integer(
        'bins', None, 'Cuts a number into as many quantiles.',
        flag_values=_FLAGS),
    'exclude': flags.DEFINE_string(
        'exclude', None, 'Tensors that are not looked at: mean,variance.',
        flag_values=_FLAGS),
    'hold_out': flags.DEFINE_string(
        'hold_out', None, 'Tested on one level, learned from the others: '
        'dataset=digits. All in turn: dataset.', flag_values=_FLAGS)}
_CONTROLS = flags.DEFINE_bool(
    'controls', None, 'All controls, or with --nocontrols none.',
    flag_values=_FLAGS)
_FORCE = flags.DEFINE_bool(
    'force', False, 'Train again where the result is already there.',
    flag_values=_FLAGS)


def main():
  begin = time.monotonic()
  request = _ask()
  from nws_jax.meta import request as requests
  from nws_jax.meta import summary
  if _LADDER.value:
    _climb(request)
    return
  folder = requests.folder(_WORKDIR.value, request)
  done = os.path.join(
      folder, 'ablation.json' if request.axes else 'result.json')
  if os.path.exists(done) and not _FORCE.value:
    print(f'{done} is there already; --force makes it again.\n')
  else:
    _make(request, folder, begin)
  print(summary.tell(done))
  if _EXPLAIN.value:
    _explain(request, folder)


def _ask():
  """The request, checked: flags and config are known here alone."""
  config = dict(cli.config(_CONFIG, _FLAGS))
  if not _TARGET.value:
    raise errors.Wrong('--target is missing; try --target=batch_size, or see '
                       '--help for all.')
  from nws_jax.meta import settings
  config |= {k: f.value for k, f in _SHORT.items() if f.value is not None}
  if _CONTROLS.value is not None:
    config['controls'] = 'all' if _CONTROLS.value else 'none'
  if _CLASSIFIER.value is not None:
    config['classifier'] = _CLASSIFIER.value
  if _LADDER.value:
    if _CLASSIFIER.value or _ABLATE.value:
      raise errors.Wrong('--ladder is of all classifiers and of one number: '
                         'leave out --classifier and --ablate.')
    config['classifier'] = settings.MAJORITY  # which takes any request
    if _CONTROLS.value is None:
      config['controls'] = 'none'  # the rungs are compared with each other
  if _EXPLAIN.value and (_LADDER.value or _ABLATE.value or not _SAVE.value):
    raise errors.Wrong('--explain is of one number and of a classifier that is '
                       'kept: leave out --ladder, --ablate and --nosave.')
  checked = settings.from_config(config)
  from nws_jax import api
  from nws_jax.meta import ablation
  from nws_jax.meta import request as requests
  axes = ablation.parse_axes(_ABLATE.value) if _ABLATE.value else ()
  if checked.hold_out and '=' not in checked.hold_out:
    axes = tuple(dict.fromkeys(axes + (ablation.HOLD_OUT,)))
  request = requests.make(api.Zoo(_ZOO.value), _TARGET.value, checked, axes)
  if _EXPLAIN.value:
    from nws_jax.meta import explanation
    explanation.check(request)
  return request


def _climb(request):
  """Makes every rung that is not there yet, and the table of all."""
  from nws_jax.meta import price, rungs, summary
  from nws_jax.meta import request as requests
  from nws_jax.store import tables
  asked, left_out = rungs.list_requests(request)
  speed, source, rows = _measure_speed(), None, []
  todo = [r for r in asked if _FORCE.value or not os.path.exists(
      os.path.join(requests.folder(_WORKDIR.value, r), 'result.json'))]
  total = sum(price.estimate(r, speed) for r in todo)
  print(f'{len(todo)} of {len(asked)} rungs to make, at most about '
        f'{say.time(total)}', file=sys.stderr)
  for rung in asked:
    folder, begin = requests.folder(_WORKDIR.value, rung), time.monotonic()
    if rung in todo:
      source = source or requests.load(rung)
      _make(rung, folder, begin, source, speed)
    record = tables.read_json(os.path.join(folder, 'result.json'))
    rows.append(rungs.make_row(record, rung.digest))
  folder = os.path.join(_WORKDIR.value, request.target.name,
                        rungs.digest(request))
  _make_folder(folder)
  record = rungs.describe(request, rows, left_out)
  tables.write_text(os.path.join(folder, 'ladder.csv'), rungs.write(rows))
  tables.write_json(os.path.join(folder, 'ladder.json'), record)
  print(summary.tell_ladder(record))
  print(f'\n{os.path.join(folder, "ladder.csv")}')


def _make(request, folder, begin, source=None, speed=None):
  """Trains, and writes the files; the record last, it says that all is there.

  Args:
    request: `request.Request`.
    folder: its own.
    begin: when it began.
    source: its `windows.Source`, if it was read before.
    speed: as of `_measure_speed`, if it was measured before.
  """
  from nws_jax.meta import ablation, answer, cells, price, saved
  from nws_jax.meta import request as requests
  from nws_jax.store import tables
  print(price.tell(request, speed or _measure_speed()), file=sys.stderr)
  _make_folder(folder)
  source = source or requests.load(request)
  bar = _Bar(request.target.name)
  try:
    if request.axes:
      rows = ablation.run(request, source, bar.show)
      record = requests.describe(request) | {'axes': list(request.axes)}
      tables.write_text(
          os.path.join(folder, 'ablation.csv'), cells.write(rows))
      _draw(os.path.join(folder, 'ablation.png'), rows, record)
    else:
      record, predictions, outcome = answer.run(request, source, bar.show)
      if _SAVE.value and saved.can(request):
        saved.write(folder, request, source, outcome)
      tables.write_text(os.path.join(folder, 'predictions.csv'), predictions)
  finally:
    bar.close()
  record['seconds'] = round(time.monotonic() - begin, 1)
  tables.write_json(os.path.join(
      folder, 'ablation.json' if request.axes else 'result.json'), record)


def _explain(request, folder):
  """Explains a result by the classifier beside it; the record is last."""
  from nws_jax import bars
  from nws_jax.meta import explanation, saved, summary
  from nws_jax.meta import request as requests
  from nws_jax.store import tables
  done, begin = os.path.join(folder, explanation.RECORD), time.monotonic()
  if os.path.exists(done) and not _FORCE.value:
    print(f'\n{done} is there already; --force makes it again.')
  else:
    model = os.path.join(folder, 'model')
    if not os.path.exists(os.path.join(model, 'recipe.json')):
      raise errors.Wrong(f'{folder} has no trained classifier to explain: it '
                         'was made with --nosave. Add --force.')
    import pandas as pd
    shown = []

    def show(what):
      for bar in shown:
        bar.close()
      shown.append(bars.make(desc=what, unit=' networks'))

      def to(done, of):
        shown[-1].total = of
        shown[-1].update(done - shown[-1].n)
      return to

    try:
      found = explanation.run(
          request, requests.load(request), saved.read(model).models,
          pd.read_csv(os.path.join(folder, 'predictions.csv')), show)
    finally:
      for bar in shown:
        bar.close()
    for name, rows in found.tables.items():
      tables.write_text(os.path.join(folder, name), explanation.write(rows))
    tables.write_json(done, found.record | {
        'seconds': round(time.monotonic() - begin, 1)})
  print(f'\n{summary.tell_explanation(done)}')


def _make_folder(folder):
  try:
    os.makedirs(folder, exist_ok=True)
  except OSError as e:
    raise errors.Wrong(f'{folder} cannot be made: {e.strerror}. Name another '
                       '--workdir.') from e
  if not os.access(folder, os.W_OK):
    raise errors.Wrong(f'{folder} cannot be written to. Name another '
                       '--workdir.')


def _draw(path, cells, record):
  import pandas as pd

  from nws_jax.pictures import ablation
  png = ablation.to_png(
      pd.DataFrame(cells), record['axes'],
      f'{record["target"]}, read by {record["classifier"]}')
  aside = f'{path}.{os.getpid()}.tmp'
  pathlib.Path(aside).write_bytes(png)
  os.replace(aside, path)


def _measure_speed():
  """Floating-point operations a second, of a dot."""
  import jax
  import jax.numpy as jnp
  n, repeats = 1024, 8
  dot = jax.jit(lambda x: x @ x * 1e-3)
  x = jax.block_until_ready(dot(jnp.ones((n, n))))
  begin = time.monotonic()
  for _ in range(repeats):
    x = dot(x)
  jax.block_until_ready(x)
  return repeats * 2 * n**3 / (time.monotonic() - begin)


class _Bar:
  """Rounds of training on stderr."""

  def __init__(self, name):
    from nws_jax import bars
    self._bar = bars.make(desc=name, unit=' rounds')

  def show(self, model, models, rounds, going):
    del rounds
    self._bar.set_postfix_str(
        f'models {model + 1} to {models}, {going} going', refresh=False)
    self._bar.update()

  def close(self):
    self._bar.close()


if __name__ == '__main__':
  cli.run(main, _FLAGS, config=_CONFIGS)

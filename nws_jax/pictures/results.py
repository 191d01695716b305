"""Meta's result files, read: one `Result` a request (docs/contract.md)."""

import math
import pathlib
from typing import NamedTuple

import pandas as pd

from nws_jax.pictures import calibration, theme
from nws_jax.store import sealed


class Measure(NamedTuple):
  """A number, its 95 % interval, and what guessing gives."""
  value: float
  low: float
  high: float
  chance: float

  @property
  def gain(self):
    return self.value - self.chance

  @property
  def above(self):
    return self.low > self.chance


class Result(NamedTuple):
  """One result.json. `main` is the accuracy per network, or R²."""
  target: str
  classifier: str
  main: Measure
  folder: pathlib.Path
  differs: dict  # settings that are not the defaults: {key: value}
  digest: str  # of the zoo that was read
  data: dict  # the whole file

  @property
  def regression(self):
    return self.data['kind'] == 'regression'


class Ablation(NamedTuple):
  """One ablation.csv: a row a cell of the grid over `axes`, and its record."""
  target: str
  classifier: str
  axes: tuple
  cells: pd.DataFrame
  folder: pathlib.Path
  differs: dict
  digest: str
  data: dict  # the whole ablation.json

  @property
  def held_out(self):
    """The property whose levels were held out in turn; '' if none was."""
    return str(self.data.get('config', {}).get('hold_out', ''))


_AXES = ('layer', 'tensor', 'part', 'position', 'window', 'pooled', 'epoch',
         'train_epoch', 'hold_out')


def read_results(folder, usual=None):
  """Every result under `folder`, by path; none if it does not exist.

  Args:
    folder: a --workdir of meta.
    usual: the default settings, a mapping; None where nobody knows them.

  Raises:
    errors.Damaged: a file is no JSON, lacks what the contract names, or is not
      what was written.
  """
  return [_parse(path, usual) for path in sealed.find(folder, sealed.RESULT)]


def read_ablations(folder, usual=None):
  """Every ablation under `folder`; as `read_results`."""
  return [_parse_ablation(path, usual)
          for path in sealed.find(folder, sealed.ABLATION)]


# Settings by which no number changes that is read, only what stands beside it.
_BESIDE = ('classifier', 'controls', 'permutations')
# Settings that are gone, with the only value by which nothing differs.
_GONE = {'cnn_steps': 0}
_AUTO = ('fast', 'cnn')  # what the default classifier stands for


def find_differing(data, usual):
  """{key: value} of the settings of a record that are not the default ones."""
  config = data.get('config', {}).items()
  return {} if usual is None else {
      k: v for k, v in config
      if k not in _BESIDE and {**_GONE, **usual}.get(k) != v}


def order(found, digest):
  """Readings in the order in which they count: those of this zoo first, then
  those with the fewest settings that are not the defaults, a classifier that
  is no default one among them.

  Of equals the one of the newer version, of more networks, with more controls;
  then by what differs, in words, and by the path. Never by time.
  """
  def rank(item):
    data = item.data
    return (item.digest != digest,
            len(item.differs) + (item.classifier not in _AUTO),
            -data.get('answers', 0), -data.get('networks', {}).get('read', 0),
            -len(data.get('controls', {})), tell_settings(item),
            _rung(item.classifier), str(item.folder))
  return sorted(found, key=rank)


DEFAULT = 'default'


def tell_settings(item):
  """What sets a reading apart from the default one, in words."""
  return ', '.join(f'{k}={v}' for k, v in item.differs.items()) or DEFAULT


def keep_own(digest, *some):
  """Of each list of results or ablations those of the zoo with this digest."""
  return [[f for f in found if f.digest == digest] for found in some]


def keep_first(found, key):
  """(the first of each key, the others)."""
  kept, others, seen = [], [], set()
  for item in found:
    (others if key(item) in seen else kept).append(item)
    seen.add(key(item))
  return kept, others


def read_predictions(result):
  """A regression's predictions.csv: columns id, true, predicted; or None."""
  path = result.folder / 'predictions.csv'
  return read_csv(path, ('true', 'predicted')) if path.exists() else None


def sort_by_gain(found):
  """Properties from the best read to the worst, their classifiers likewise."""
  best = {}
  for r in found:
    best[r.target] = max(best.get(r.target, -math.inf), r.main.gain)
  return sorted(found, key=lambda r: (-best[r.target], r.target, -r.main.gain))


def tabulate(found, regression):
  """One row a result of one kind: how well, and whether above chance."""
  rows = []
  for r in (r for r in found if r.regression == regression):
    more = ('per_window', *(('kendall_tau', 'mean_absolute_error')
                            if regression else ('balanced_accuracy',)))
    rows.append({
        'property': r.target, 'classifier': r.classifier,
        'r2' if regression else 'accuracy': r.main.value,
        'low': r.main.low, 'high': r.main.high, 'chance': r.main.chance,
        'above_chance': r.main.above, 'networks': _count(r),
        **{name: number(r.data.get(name)) for name in more},
        'settings': tell_settings(r)})
  return shed(rows)


def tabulate_others(found, digest):
  """One row a reading that is not the main one, with what sets it apart."""
  return pd.DataFrame([{
      'property': r.target, 'classifier': r.classifier,
      'settings': tell_settings(r), 'of': 'this zoo' if r.digest == digest
      else 'another zoo, or this one before it changed',
      'measure': 'R²' if r.regression else 'accuracy',
      **r.main._asdict(), 'above_chance': r.main.above, 'networks': _count(r),
      'folder': r.folder.name} for r in found])


def shed(rows):
  """A table without the columns that tell nothing."""
  frame = pd.DataFrame(rows).dropna(axis='columns', how='all')
  if 'settings' in frame and set(frame.settings) == {DEFAULT}:
    return frame.drop(columns='settings')
  return frame


def tabulate_controls(found, regression):
  """One row a control of a result of one kind: what must be at chance."""
  rows = []
  for r in (r for r in found if r.regression == regression):
    for name, control in r.data.get('controls', {}).items():
      low, high = map(float, control['interval'])
      rows.append({'property': r.target, 'classifier': r.classifier,
                   'control': name, 'value': number(control), 'low': low,
                   'high': high, 'chance': float(control.get(
                       'chance', r.main.chance)),
                   'p_value': float(control.get('p_value', math.nan)),
                   'difference_p': float(control.get(
                       'difference_p', math.nan))})
  return pd.DataFrame(rows).dropna(axis='columns', how='all')


LADDER = ('majority', 'logistic', 'svm', 'boosting', 'fast', 'cnn',
          'transformer', 'equivariant')


def tabulate_ladder(found, regression):
  """One row a property and classifier, lowest rung first."""
  rows = pd.DataFrame([
      {'property': theme.words(r.target), 'classifier': r.classifier,
       **r.main._asdict()} for r in sort_by_gain(found)
      if r.regression == regression])
  if not len(rows):
    return rows
  rungs = rows.classifier.map(_rung)
  return rows.iloc[(rungs * len(rows) + rows.groupby(
      'property', sort=False).ngroup()).argsort(kind='stable')].reset_index(
          drop=True)


def _rung(classifier):
  return LADDER.index(classifier) if classifier in LADDER else len(LADDER)


def tabulate_confusions(found):
  """One row a cell of every confusion matrix."""
  return pd.DataFrame([
      {'property': r.target, 'classifier': r.classifier, 'true': true,
       'predicted': predicted, 'networks': int(r.data['confusion'][i][j])}
      for r in found if not r.regression
      for i, true in enumerate(r.data['classes'])
      for j, predicted in enumerate(r.data['classes'])])


def _parse(path, usual):
  data = sealed.read(path, ('predictions.csv',))
  with sealed.naming(path):
    kind = data['kind']
    if kind == 'regression':
      main, chance = data['r2'], 0.0
    else:
      main, chance = data['per_network'], float(data['chance'])
      size = len(data['classes'])
      if [len(row) for row in data['confusion']] != [size] * size:
        raise ValueError(f'confusion is not {size} x {size}')
    low, high = main['interval']
    result = Result(
        str(data['target']), str(data['classifier']),
        Measure(number(main), float(low), float(high), chance), path.parent,
        find_differing(data, usual), str(data['zoo']['digest']), data)
    order([result], '')
    tabulate([result], result.regression)  # all that will be shown is there
    tabulate_controls([result], result.regression)
    tabulate_confusions([result])
    ', '.join(data.get('warnings', ()))
    ', '.join(data.get('controls_left_out', {}).values())
    if 'calibration' in data:
      calibration.tabulate([result])
      calibration.tabulate_curves([result])
    return result


def _parse_ablation(path, usual):
  about = sealed.read(path, ('ablation.csv',))
  figures = ['value', 'low', 'high', 'chance']
  cells = read_csv(path.with_suffix('.csv'), figures)
  with sealed.naming(path):
    axes = tuple(a for a in about.get('axes', _AXES) if a in cells.columns)
    if not axes:
      raise ValueError(f'no axis of it is a column of {path.stem}.csv')
    cells[figures].astype(float)
    grid = Ablation(
        str(about['target']), str(about['classifier']), axes, cells,
        path.parent, find_differing(about, usual),
        str(about['zoo']['digest']), about)
    order([grid], '')
    return grid


def read_csv(path, columns):
  try:
    frame = pd.read_csv(path)
  except (OSError, ValueError) as e:  # pandas' parser errors are ValueErrors
    raise sealed.damaged(path, str(e)) from None
  missing = [c for c in columns if c not in frame.columns]
  if missing:
    raise sealed.damaged(path, f'has no column {", ".join(missing)}')
  return frame


def _count(result):
  part = result.data.get('r2' if result.regression else 'per_network')
  return part.get('networks', math.nan)


def number(part):
  """The value in {'accuracy' or 'value': x, ...}, or the number itself."""
  if isinstance(part, dict):
    part = part.get('accuracy', part.get('value'))
  return float('nan' if part is None else part)


def name_result(result):
  return f'{theme.words(result.target)}, {result.classifier}'

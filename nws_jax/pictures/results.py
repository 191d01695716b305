"""Meta's result files, read: one `Result` a request (docs/contract.md)."""

import json
import math
import pathlib
from typing import NamedTuple

import pandas as pd

from nws_jax import errors
from nws_jax.pictures import calibration, theme


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
  written: float  # seconds; the newest of equal (target, classifier) is shown
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
  written: float
  digest: str
  data: dict  # the whole ablation.json

  @property
  def held_out(self):
    """The property whose levels were held out in turn; '' if none was."""
    config = self.data.get('config')
    return str(config.get('hold_out', '') if isinstance(config, dict) else '')


_AXES = ('layer', 'tensor', 'part', 'position', 'window', 'pooled', 'epoch',
         'train_epoch', 'hold_out')


def read_results(folder):
  """Every result under `folder`, newest first; none if it does not exist.

  Raises:
    errors.Damaged: a file is no JSON or lacks what the contract names.
  """
  found = [_parse(path) for path in sorted(
      pathlib.Path(folder).glob('*/*/result.json'))]
  return sorted(found, key=lambda r: -r.written)


def read_ablations(folder):
  """Every ablation under `folder`, newest first; raises as `read_results`."""
  found = [_parse_ablation(path) for path in sorted(
      pathlib.Path(folder).glob('*/*/ablation.csv'))]
  return sorted(found, key=lambda a: -a.written)


def keep_own(digest, *some):
  """Of each list of results or ablations those of the zoo with this digest."""
  return [[f for f in found if f.digest == digest] for found in some]


def keep_first(found, key):
  """(the first of each key, the others): of a list that is newest first."""
  kept, older, seen = [], [], set()
  for item in found:
    (older if key(item) in seen else kept).append(item)
    seen.add(key(item))
  return kept, older


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
        **{name: number(r.data.get(name)) for name in more}})
  return pd.DataFrame(rows).dropna(axis='columns', how='all')


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
  order = rows.classifier.map(
      lambda c: LADDER.index(c) if c in LADDER else len(LADDER))
  return rows.iloc[(order * len(rows) + rows.groupby(
      'property', sort=False).ngroup()).argsort(kind='stable')].reset_index(
          drop=True)


def tabulate_confusions(found):
  """One row a cell of every confusion matrix."""
  return pd.DataFrame([
      {'property': r.target, 'classifier': r.classifier, 'true': true,
       'predicted': predicted, 'networks': int(r.data['confusion'][i][j])}
      for r in found if not r.regression
      for i, true in enumerate(r.data['classes'])
      for j, predicted in enumerate(r.data['classes'])])


def _parse(path):
  data = read_json(path)
  try:
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
        path.stat().st_mtime, str(data['zoo']['digest']), data)
    tabulate([result], result.regression)  # all that will be shown is there
    tabulate_controls([result], result.regression)
    tabulate_confusions([result])
    if 'calibration' in data:
      calibration.tabulate([result])
    return result
  except KeyError as e:
    raise damaged(path, f'has no {e.args[0]!r}') from None
  except (TypeError, ValueError, AttributeError, IndexError) as e:
    raise damaged(path, str(e)) from None


def _parse_ablation(path):
  about = read_json(path.with_suffix('.json'))
  cells = read_csv(path, ('value', 'low', 'high', 'chance'))
  axes = tuple(a for a in about.get('axes', _AXES) if a in cells.columns)
  if not axes:
    raise damaged(path, f'has no column of {", ".join(_AXES)}')
  try:
    return Ablation(str(about['target']), str(about['classifier']), axes, cells,
                    path.parent, path.stat().st_mtime,
                    str(about['zoo']['digest']), about)
  except (KeyError, TypeError) as e:
    raise damaged(path.with_suffix('.json'), f'has no {e}') from None


def read_json(path):
  try:
    data = json.loads(path.read_text(encoding='utf-8'))
    json.dumps(data, ensure_ascii=False).encode()  # \ud800 is no character
  except (OSError, ValueError) as e:
    raise damaged(path, str(e)) from None
  if not isinstance(data, dict):
    raise damaged(path, 'is not a JSON object')
  return data


def read_csv(path, columns):
  try:
    frame = pd.read_csv(path)
  except (OSError, ValueError) as e:  # pandas' parser errors are ValueErrors
    raise damaged(path, str(e)) from None
  missing = [c for c in columns if c not in frame.columns]
  if missing:
    raise damaged(path, f'has no column {", ".join(missing)}')
  return frame


def damaged(path, reason):
  return errors.Damaged(
      f'{path}: {reason.strip()}. Remove its folder and run '
      f'python -m nws_jax.meta --target={path.parent.parent.name} again.')


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

"""What the command prints about results, from their records and tables."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from nws_jax.meta.figures import intervals
from nws_jax.store import sealed

Record = dict[str, Any]
_LEVEL = 0.05  # of p-values, after Holm's correction
_MOST_TENSORS = 8  # in the table of an attribution


def show(path: str) -> str:
  """The text of a result.json, or of an ablation.json with its table.

  Raises:
    errors.Damaged: it, or a file beside it, is not what was written.
  """
  record = sealed.read(path)
  with sealed.naming(path):
    text = (_format_ablation(record, os.path.dirname(path))
            if 'axes' in record else format_result(record))
    return f'{text}\n\n{path} ({record["seconds"]:.0f} s)'


def show_explanation(path: str) -> str:
  """The text of an explanation.json with its tables.

  Raises:
    errors.Damaged: as `show`.
  """
  record = sealed.read(path)
  with sealed.naming(path):
    text = _format_explanation(record, os.path.dirname(path))
    return f'{text}\n\n{path} ({record["seconds"]:.0f} s)'


def format_result(record: Record) -> str:
  """The text of a result.json."""
  kind, length = record['kind'], record['windows']['length']
  classified = kind == 'classification'
  sections = [
      [f'{record["target"]}, {kind} by {record["classifier"]}, window '
       f'{length:,}, {record["windows"]["per_network"]} windows per network',
       _describe_networks(record)],
      _list_accuracies(record) if classified else _list_errors(record),
      _list_controls(record),
      [f'WARNING: {w}' for w in record['warnings']]]
  if 'seeds' in record:
    sections[1].append(f'{len(record["seeds"]["values"])} meta-seeds, standard '
                       f'deviation {record["seeds"]["deviation"]:.3f}')
  if 'calibration' in record:
    about = record['calibration']
    median, highest = about['if_true']
    sections[1].append(
        f'{"calibration":<19}{about["error"]:.3f}  (expected calibration '
        f'error; were all probabilities true, {median:.3f} in the median and '
        f'at most {highest:.3f} in 95 %)')
  if classified:
    import pandas as pd  # slow, and not needed for --help
    classes = pd.Index(map(str, record['classes']))
    sections.append([_format_table(pd.DataFrame(
        record['confusion'], classes, classes), r'true \ predicted')])
  return '\n\n'.join('\n'.join(s) for s in sections if s)


def _list_accuracies(record: Record) -> list[str]:
  balanced = ('; classes are balanced' if record['config']['balance'] else '')
  return [
      f'{"chance":<19}{record["chance"]:.3f}  (the largest class{balanced})',
      _format_figure('per network', record['per_network']),
      _format_figure('per window', record['per_window']),
      _format_figure('balanced', record['balanced_accuracy'])]


def _list_errors(record: Record) -> list[str]:
  lines = [
      _format_figure('R² (chance 0)', record['r2']),
      _format_figure('R² per window', record['per_window']),
      _format_figure("Kendall's tau", record['kendall_tau']),
      _format_figure('mean |error|', record['mean_absolute_error'], '.3g')]
  if 'mean_absolute_error_log' in record:
    lines.append(_format_figure(
        '  of the log', record['mean_absolute_error_log']))
  return lines


def _format_figure(name: str, part: Record, form: str = '.3f') -> str:
  value, low, high = intervals.Estimate.from_json(part)
  return f'{name:<19}{value:{form}}  [{low:{form}}, {high:{form}}]'


def _list_controls(record: Record) -> list[str]:
  """A table of the controls, and why others are left out."""
  import pandas as pd  # slow, and not needed for --help
  rows, controls = {}, record['controls']
  for name, part in controls.items():
    p = part.get('difference_p', part.get('p_value'))
    found = intervals.Estimate.from_json(part)
    rows[name] = {
        'value': f'{found.value:.3f}',
        '95 % interval': f'[{found.low:.3f}, {found.high:.3f}]',
        'chance': f'{part["chance"]:.3f}' if 'chance' in part else '',
        'networks': str(part.get('networks', '')),
        'p': '' if p is None else f'{p:.3f}'}
  lines = [_format_table(pd.DataFrame.from_dict(rows, orient='index'),
                         'control')] if rows else []
  if any('difference_p' in part for part in controls.values()):
    lines.append('p: of the difference from the score')
  lines += [f'p of {name}: of the score among permutations'
            for name, part in controls.items() if 'p_value' in part]
  return lines + [f'{name} is left out: {why}.' for name, why
                  in record['controls_left_out'].items()]


def _format_ablation(record: Record, folder: str) -> str:
  import pandas as pd  # slow, and not needed for --help
  cells = pd.read_csv(os.path.join(folder, 'ablation.csv'))
  figure = 'accuracy per network' if record['classes'] else 'R²'
  return '\n'.join([
      f'{record["target"]} read by {record["classifier"]}: {figure}'
      f'{_describe_members(record)}',
      _describe_networks(record), '',
      format_grid(record['axes'], cells.to_dict('records')),
      *(f'WARNING: {w}' for w in record.get('warnings', ()))])


def format_grid(axes: Sequence[str],
                cells: Sequence[Mapping[str, Any]]) -> str:
  """The table of a grid: the last axis across, the others down.

  Args:
    axes: their names.
    cells: the rows of ablation.csv.
  """
  import pandas as pd  # slow, and not needed for --help
  *down, across = axes
  rows: dict[str, dict[Any, str]] = {}
  for cell in cells:
    mark = '*' if cell['p_holm'] <= _LEVEL else ' '
    name = ', '.join(str(cell[a]) for a in down)
    rows.setdefault(name, {})[cell[across]] = f'{cell["value"]:.2f}{mark}'
  columns = list(dict.fromkeys(c[across] for c in cells))
  table = pd.DataFrame([[row.get(c, '') for c in columns]
                        for row in rows.values()], list(rows), columns)
  chance = sum(c['chance'] for c in cells) / len(cells)
  return (f'{_format_table(table, across)}\n\nchance {chance:.3f}; *: above '
          f'chance at {100 * _LEVEL:.0f} %, corrected for {len(cells)} cells')


def format_ladder(record: Record) -> str:
  """The table of a ladder.json, lowest rung first."""
  import pandas as pd  # slow, and not needed for --help
  rungs = record['rungs']
  what = 'accuracy' if record['kind'] == 'classification' else 'R²'
  table = pd.DataFrame([
      {what: f'{r["value"]:.3f}',
       '95 % interval': f'[{r["low"]:.3f}, {r["high"]:.3f}]',
       'seconds': f'{r["seconds"]:.1f}'} for r in rungs],
      [r['classifier'] for r in rungs])
  return '\n'.join([
      f'{record["target"]}: {what} per network, {rungs[0]["networks"]} '
      f'networks, chance {rungs[0]["chance"]:.3f}', '',
      _format_table(table, 'classifier'),
      *(f'WARNING: {name}: {w}' for name, some in record['warnings'].items()
        for w in some),
      *([''] if record['left_out'] else []),
      *(f'{name} is left out: {why}'
        for name, why in record['left_out'].items())])


def _format_explanation(record: Record, folder: str) -> str:
  lines = _list_attributions(record['attribution'], folder)
  lines += [f'most typical {name}: network {of["id"]}' for name, of in
            record['prototypes']['typical'].items()]
  x, y = record['map']['explained_variance']
  umap = ('also by UMAP' if record['map']['umap']
          else 'not by UMAP, which is not installed')
  lines.append(
      f'map of {record["map"]["snapshots"]:,} snapshots by two principal '
      f'components, {100 * x:.0f} % and {100 * y:.0f} % of the variance; '
      f'{umap}')
  return '\n'.join(lines)


def _list_attributions(about: Record, folder: str) -> list[str]:
  """The tensors with the largest attributions."""
  if 'left_out' in about:
    return [f'attribution is left out: {about["left_out"]}']
  import pandas as pd  # slow, and not needed for --help
  rows = pd.read_csv(os.path.join(folder, 'attribution.csv'))
  rows = rows[(rows['class'] == 'all') & (rows['tensor'] != 'all')]
  rows = rows.sort_values('value', ascending=False).head(_MOST_TENSORS)
  table = pd.DataFrame({
      'attribution': rows['value'].map('{:.3f}'.format),
      '95 % interval': [f'[{low:.3f}, {high:.3f}]' for low, high
                        in zip(rows['low'], rows['high'])]})
  table.index = pd.Index(rows['layer'] + ' ' + rows['tensor'])
  return [
      f'attribution of the {about["of"]}, mean over {about["networks"]} '
      'networks:',
      f'from {about["before"]:.3f} at the baseline ({about["baseline"]})',
      f'to {about["after"]:.3f}; the sum of all attributions misses '
      f'{100 * about["residual"]["share"]:.1f} % of the difference',
      _format_table(table, 'tensor')]


def _format_table(table: Any, corner: str) -> str:
  """A DataFrame as text: `corner` is the heading of its index."""
  return table.rename_axis(None).rename_axis(
      corner, axis='columns').to_string()


def _describe_members(record: Record) -> str:
  from nws_jax.meta.classifiers import table  # slow, not needed for --help
  classifier = table.CLASSIFIERS.get(record['classifier'])
  count = classifier.count_members(
      record['config']['grid_members']) if classifier else 1
  return (f', averaged over {count} models per fold in each cell'
          if count > 1 else '')


def _describe_networks(record: Record) -> str:
  networks = record['networks']
  split = ('5-fold cross-validation, per fold' if networks['folds'] > 1 else
           'one split,')
  left_out = ', '.join(f'{n} by {reason}'
                       for reason, n in networks['left_out'].items() if n)
  return (f'{networks["read"]} networks, {split} train/valid/test '
          f'{networks["train"]}/{networks["valid"]}/{networks["test"]}'
          + (f'; left out: {left_out}' if left_out else ''))

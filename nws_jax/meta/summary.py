"""What the command prints of a result or an ablation, read from its record."""

import os

from nws_jax.store import sealed


def tell(path):
  """What stands in a result.json, or in an ablation.json and its table.

  Raises:
    errors.Damaged: it, or what lies beside it, is not what was written.
  """
  record = sealed.read(path)
  with sealed.naming(path):
    return f'{_tell(path, record)}\n\n{path} ({record["seconds"]:.0f} s)'


def _tell(path, record):
  if 'axes' in record:
    import pandas as pd  # slow, and of no use to --help
    cells = pd.read_csv(os.path.join(os.path.dirname(path), 'ablation.csv'))
    return (f'{record["target"]} read by {record["classifier"]}: '
            f'{"accuracy per network" if record["classes"] else "R²"}'
            f'{_tell_members(record)}\n'
            f'{_tell_networks(record)}\n\n'
            + tell_ablation(record['axes'], cells.to_dict('records'))
            + ''.join(f'\nWARNING: {w}' for w in record.get('warnings', ())))
  return tell_result(record)


def tell_result(record):
  """A few lines for a terminal, of the content of result.json."""
  kind = record['kind']
  lines = [f'{record["target"]}, {kind} by {record["classifier"]}, window '
           f'{record["windows"]["length"]:,}, '
           f'{record["windows"]["per_network"]} windows a network',
           _tell_networks(record), '']
  if kind == 'classification':
    lines += [
        f'{"chance":<19}{record["chance"]:.3f}  (the largest class'
        f'{"; classes are balanced" if record["config"]["balance"] else ""})',
        _line('per network', record['per_network']),
        _line('per window', record['per_window']),
        _line('balanced', record['balanced_accuracy'])]
  else:
    lines += [_line('R² (chance 0)', record['r2']),
              _line('R² per window', record['per_window']),
              _line("Kendall's tau", record['kendall_tau']),
              _line('mean |error|', record['mean_absolute_error'], '.3g')]
    if 'mean_absolute_error_log' in record:
      lines.append(_line('  of the log', record['mean_absolute_error_log']))
  if 'seeds' in record:
    lines.append(f'{len(record["seeds"]["values"])} meta-seeds, standard '
                 f'deviation {record["seeds"]["deviation"]:.3f}')
  if 'calibration' in record:
    about = record['calibration']
    lines.append(f'{"calibration":<19}{about["error"]:.3f}  (expected '
                 'calibration error; of true probabilities '
                 f'{about["if_true"][0]:.3f}, at most {about["if_true"][1]:.3f}'
                 ' in 95 %)')
  if record['controls']:
    lines += ['', 'controls'] + [
        _line(f'  {name}', part) + _tell_more(part)
        for name, part in record['controls'].items()]
  lines += [f'  {name}: left out, {reason}'
            for name, reason in record['controls_left_out'].items()]
  lines += ['', *(f'WARNING: {w}' for w in record['warnings'])
            ] if record['warnings'] else []
  if kind == 'classification':
    lines += ['', *_tell_confusion(record['classes'], record['confusion'])]
  return '\n'.join(lines)


def tell_explanation(path):
  """A few lines of an explanation.json and the tables beside it.

  Raises:
    errors.Damaged: as `tell`.
  """
  record = sealed.read(path)
  with sealed.naming(path):
    lines = _tell_explanation(path, record)
    return '\n'.join(lines) + f'\n\n{path} ({record["seconds"]:.0f} s)'


def _tell_explanation(path, record):
  import pandas as pd  # slow, and of no use to --help
  lines = []
  about, folder = record['attribution'], os.path.dirname(path)
  if 'left_out' in about:
    lines.append(f'attribution: left out, {about["left_out"]}')
  else:
    rows = pd.read_csv(os.path.join(folder, 'attribution.csv'))
    rows = rows[rows['class'] == 'all'].sort_values('value', ascending=False)
    lines += [
        f'attribution, {about["networks"]} networks: {about["of"]}',
        f'  from {about["before"]:.3f} at the baseline ({about["baseline"]})',
        f'  to   {about["after"]:.3f} at the network; the sum of all parts '
        f'misses {100 * about["residual"]["share"]:.1f} % of a network\'s way']
    lines += [f'  {row.layer:<9}{row.tensor:<9}{row.value:7.3f}  '
              f'[{row.low:.3f}, {row.high:.3f}]' for row in rows[
                  rows['tensor'] != 'all'].head(8).itertuples()]
  lines += [f'most typical {name}: network {of["id"]}' for name, of in
            record['prototypes']['typical'].items()]
  x, y = record['map']['explained_variance']
  lines.append(
      f'map of {record["map"]["snapshots"]:,} snapshots: '
      f'{100 * x:.0f} % and {100 * y:.0f} % of the variance; UMAP '
      f'{"too" if record["map"]["umap"] else "is not installed"}')
  return lines


def tell_ladder(record):
  """The table of a ladder.json, lowest rung first."""
  rows, left_out = record['rungs'], record['left_out']
  what = 'accuracy' if record['kind'] == 'classification' else 'R²'
  lines = [f'{record["target"]}: {what} per network, {rows[0]["networks"]} '
           f'networks, chance {rows[0]["chance"]:.3f}', '',
           f'{"classifier":<14}{what:>9}  95 % interval     seconds']
  for row in rows:
    lines.append(
        f'{row["classifier"]:<14}{row["value"]:9.3f}  [{row["low"]:.3f}, '
        f'{row["high"]:.3f}]{row["seconds"]:11.1f}')
  lines += [f'WARNING: {name}: {w}' for name, some in
            record['warnings'].items() for w in some]
  return '\n'.join(lines + [''] * bool(left_out) + [
      f'without {name}: {why}' for name, why in left_out.items()])


def tell_ablation(axes, cells):
  """The grid as text: the last axis to the right, * above chance (Holm).

  Args:
    axes: names of its axes.
    cells: dicts, the rows of ablation.csv.
  """
  across = axes[-1]
  columns = list(dict.fromkeys(c[across] for c in cells))
  rows = {}
  for cell in cells:
    name = ', '.join(str(cell[a]) for a in axes[:-1])
    rows.setdefault(name, {})[cell[across]] = f'{cell["value"]:.2f}' + (
        '*' if cell['p_holm'] <= 0.05 else ' ')
  first = max(map(len, [*rows, across])) + 2
  width = max(6, *(len(str(c)) + 2 for c in columns))
  lines = [f'{across:<{first}}' + ''.join(f'{c!s:>{width}}' for c in columns)]
  for name, row in rows.items():
    lines.append(f'{name:<{first}}' + ''.join(
        f'{row.get(c, ""):>{width}}' for c in columns))
  chance = sum(c['chance'] for c in cells) / len(cells)
  return '\n'.join(lines + [
      '', f'chance {chance:.3f}; *: above it at 5 %, corrected for '
      f'{len(cells)} cells'])


def _tell_members(record):
  members = record['config']['grid_members']
  return (f', of {members} averaged models a fold in each cell'
          if members > 1 and _averages(record['classifier']) else '')


def _averages(name):
  from nws_jax.meta.classifiers import table  # slow, and of no use to --help
  known = table.CLASSIFIERS.get(name)
  return known is not None and known.count_members(2) > 1


def _tell_networks(record):
  networks = record['networks']
  how = ('5-fold cross-validation, a fold\'s' if networks['folds'] > 1 else
         'one split,')
  left = ', '.join(f'{n} by {reason}'
                   for reason, n in networks['left_out'].items() if n)
  return (f'{networks["read"]} networks, {how} train/valid/test '
          f'{networks["train"]}/{networks["valid"]}/{networks["test"]}'
          + (f'; left out: {left}' if left else ''))


def _line(name, part, form='.3f'):
  value = part.get('accuracy', part.get('value'))
  low, high = part['interval']
  return f'{name:<19}{value:{form}}  [{low:{form}}, {high:{form}}]'


def _tell_more(part):
  """What stands behind the interval of a control."""
  if 'p_value' in part:
    return f'  p = {part["p_value"]:.3f}'
  if 'difference_p' not in part:
    return ''
  return (f'  {part["networks"]} networks, chance {part["chance"]:.3f}, '
          f'differs: p = {part["difference_p"]:.3f}')


def _tell_confusion(classes, confusion):
  names = [str(c) for c in classes]
  width = max(6, *(len(n) + 2 for n in names))
  lines = [f'{"true":<{width}}' + ''.join(f'{n:>{width}}' for n in names)
           + '   <- read as']
  for name, counts in zip(names, confusion):
    lines.append(f'{name:<{width}}' + ''.join(f'{n:>{width}}' for n in counts))
  return lines

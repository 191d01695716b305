"""Writes RESULTS.md from benchmarks/results/*/*.json.

  python -m benchmarks.report
"""

import glob
import json
import os
from collections.abc import Sequence
from typing import Any

from benchmarks import contest

_HERE = os.path.dirname(contest.RESULTS)


def main() -> None:
  parts = ['# Results of the last runs\n\nWritten by `python -m '
           'benchmarks.report` from benchmarks/results/. A ratio is the median '
           'over rounds in which all contestants alternate, with a 95 % '
           'interval by bootstrap over rounds.\n']
  paths = sorted(glob.glob(os.path.join(contest.RESULTS, '*', '*.json')),
                 key=lambda path: (os.path.basename(path), path))
  for path in paths:
    with open(path) as f:
      record = json.load(f)
    name = os.path.basename(path).removesuffix('.json')
    parts.append(f'## {name}\n\n{record["machine"]}; jax {record["jax"]}, '
                 f'{record["date"]}\n\n'
                 + _SHOW[name.split('_')[0]](record['results']))
  path = os.path.join(_HERE, 'RESULTS.md')
  with open(path, 'w') as f:
    f.write('\n'.join(parts))
  print(path)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
  lines = [head, ['---'] * len(head), *rows]
  return ''.join(f'| {" | ".join(map(str, line))} |\n' for line in lines)


def _ratio(three: Sequence[float]) -> str:
  return '{:.2f} ({:.2f} to {:.2f})'.format(*three)


def _show_train(results: dict[str, Any]) -> str:
  others = list(dict.fromkeys(
      o for r in results.values() for o in r['ours_against']))
  rows = [[name, r['arch'], r['batch_size'],
           f'{contest.median(r["images_per_second"]["ours"]):,.0f}',
           *(_ratio(r['ours_against'][o]) if o in r['ours_against'] else ''
             for o in others)] for name, r in results.items()]
  means = [contest.mean([r['ours_against'][o][0] for r in results.values()
                         if o in r['ours_against']]) for o in others]
  rows.append(['geometric mean', '', '', '', *(f'{m:.2f}' for m in means)])
  return _table(['architecture', 'sizes', 'batch', 'ours, images/s',
                 *(f'times {o}' for o in others)], rows)


def _show_zoo(results: dict[str, Any]) -> str:
  return _table(
      ['networks', 'seconds', 'per network', 'with an empty cache',
       'share of the bare rate', 'peak MB'],
      [[n, f'{r["seconds"]:.1f}', f'{r["seconds"] / int(n):.3f}',
        f'{r["seconds_with_compilation"]:.1f}'
        if r['seconds_with_compilation'] else '', f'{r["kept"]:.0%}',
        f'{r["peak_mb"]:,.0f}'] for n, r in results.items()])


def _show_store(results: dict[str, Any]) -> str:
  return _table(['', 'value'],
                [[name, f'{v:,.1f}'] for name, v in results.items()])


def _show_roofline(results: dict[str, Any]) -> str:
  return _table(
      ['architecture', 'images/s', 'MFLOP per image', 'direct', 'MB per image',
       'share of the peak FLOP rate', 'direct', 'share of the copy rate'],
      [[name, f'{r["images_per_second"]:,.0f}',
        f'{r["flops_per_image"] / 1e6:.1f}', f'{r["plain_flops"] / 1e6:.1f}',
        f'{r["bytes_per_image"] / 1e6:.2f}', f'{r["of_dot_rate"]:.0%}',
        f'{r["of_dot_rate_plain"]:.0%}', f'{r["of_copy_rate"]:.0%}']
       for name, r in results.items()])


def _show_meta(results: dict[str, Any]) -> str:
  dots = results.pop('dot_gflops')
  return _table(
      ['classifier', 'models', 'batch', 'mode', 'ours, windows/s',
       'times PyTorch, eager'],
      [[name, r['models'], r['batch'], what,
        f'{contest.median(r[what]["rates"]["ours"]):,.0f}',
        _ratio(r[what]['ratio'])] for name, r in results.items()
       for what in ('infer', 'train')]) + (
           '\nA large matrix product: ' + ', '.join(
               f'{who} {rate:,.0f} GFLOP/s' for who, rate in dots.items())
           + '.\n')


def _show_strangers(results: dict[str, Any]) -> str:
  names = list(dict.fromkeys(n for r in results.values() for n in r))
  return _table(
      ['property', *(n.replace('_', ' ') for n in names)],
      [[target, *(f'{r[n]:.3g}' if n in r else '' for n in names)]
       for target, r in results.items()])


def _show_forms(results: dict[str, Any]) -> str:
  return _table(
      ['architecture, precision, columns per tile, networks (0: chosen)',
       'images/s', 'networks', 'kB per image', 'MB per network',
       'estimated MB'],
      [[case, f'{contest.median(r["images_per_second"]):,.0f}', r['networks'],
        f'{r["bytes_an_image"] / 1e3:,.0f}',
        f'{r["bytes_a_network"] / 1e6:.1f}',
        f'{r["priced_bytes_a_network"] / 1e6:.1f}']
       for case, r in results.items()])


def _show_precision(results: dict[str, Any]) -> str:
  networks, epochs, net = map(results.pop, ('networks', 'epochs', 'net'))
  return (f'{networks} networks ({net}), {epochs} epochs, compared with '
          'float32.\n\n') + _table(
      ['', 'median test accuracy', 'in float32', 'Kolmogorov-Smirnov distance',
       'p', 'median difference per network'],
      [[name, *(f'{r[k]:.4f}' for k in ('median', 'median_float32', 'ks', 'p',
                                        'typical_difference'))]
       for name, r in results.items()])


_SHOW = {'forms': _show_forms, 'precision': _show_precision,
         'train': _show_train, 'zoo': _show_zoo, 'store': _show_store,
         'roofline': _show_roofline, 'meta': _show_meta,
         'strangers': _show_strangers}

if __name__ == '__main__':
  main()

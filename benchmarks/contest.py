"""Runs contestants in alternation and takes the ratios within rounds.

A machine's speed drifts by more than contestants differ. Every round therefore
times all of them, one after another, and only ratios within a round are used.
"""

import datetime
import json
import os
import platform
import re
import time
from typing import Any, Callable, NamedTuple

import numpy as np

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'results')


class Contestant(NamedTuple):
  run: Callable  # does the work, and waits for its end
  work: float  # amount of work, in the unit of the benchmark
  facts: dict = {}  # further columns of the results


def alternate(contestants, rounds=7, seconds=0.7):
  """Rates: {name: work per second in each round}.

  Args:
    contestants: {name: `Contestant`}.
    rounds: in each, every contestant has its turn; the first one is who was
      last in the round before.
    seconds: of a turn, at least one call.
  """
  for c in contestants.values():
    c.run()  # compiles and warms up
  rates, order = {name: [] for name in contestants}, list(contestants)
  for _ in range(rounds):
    for name in order:
      c, calls, begin = contestants[name], 0, time.perf_counter()
      while not calls or time.perf_counter() - begin < seconds:
        c.run()
        calls += 1
      rates[name].append(calls * c.work / (time.perf_counter() - begin))
    order = order[1:] + order[:1]
  return rates


def compare(rates, name, other):
  """Ratio of two contestants: (median over rounds, low, high), with a 95 %
  interval by bootstrap over rounds."""
  ratios = np.asarray(rates[name]) / np.asarray(rates[other])
  drawn = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
  return (float(np.median(ratios)),
          *np.quantile(np.median(drawn, axis=1), (0.025, 0.975)).tolist())


def table(rates, base, unit):
  """Lines: each contestant's median rate, and the ratio of `base` to it."""
  lines = [f'  {"":24} {unit:>14}  {base} is so many times as fast']
  for name, r in rates.items():
    ratio = '' if name == base else '{:.2f} ({:.2f} to {:.2f})'.format(
        *compare(rates, base, name))
    lines.append(f'  {name:24} {np.median(r):14,.0f}  {ratio}')
  return '\n'.join(lines)


def write(name, results: Any):
  """Writes results and their machine as JSON; prints the path.

  Each machine has a folder of its own: what is fast on one need not be so on
  another.
  """
  import jax
  cpu, devices = machine().split('; ')
  name_of = cpu if jax.default_backend() == 'cpu' else devices
  folder = os.path.join(
      RESULTS, re.sub('[^a-z0-9]+', '-', name_of.lower()).strip('-'))
  os.makedirs(folder, exist_ok=True)
  path = os.path.join(folder, f'{name}.json')
  record = {'machine': machine(), 'date': datetime.date.today().isoformat(),
            'jax': jax.__version__, 'results': results}
  with open(path, 'w') as f:
    json.dump(record, f, indent=1)
  print(path)


def machine():
  """A description of the machine."""
  import jax
  name = platform.processor() or platform.machine()
  if os.path.exists('/proc/cpuinfo'):
    with open('/proc/cpuinfo') as f:
      names = [line.split(':')[1].strip() for line in f
               if line.startswith('model name')]
      name = names[0] if names else name
  kinds = sorted({d.device_kind for d in jax.devices()})
  return f'{os.cpu_count()} x {name}; {len(jax.devices())} x {", ".join(kinds)}'


def mean(ratios):
  """The geometric mean."""
  return float(np.exp(np.mean(np.log(ratios))))


def median(rates):
  return float(np.median(rates))

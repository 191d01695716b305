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
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'results')


Rates = dict[str, list[float]]  # work per second of each, in every round


class Contestant(NamedTuple):
  run: Callable[[], object]  # does the work, and waits for its end
  work: float  # amount of work, in the unit of the benchmark
  facts: dict[str, Any] = {}  # further columns of the results


def alternate(contestants: dict[str, Contestant], rounds: int = 7,
              seconds: float = 0.7) -> Rates:
  """Times all contestants in every round; returns their rates.

  Args:
    contestants: {name: `Contestant`}.
    rounds: every contestant has one turn in each. The order rotates, so that
      each is first in turn.
    seconds: least length of a turn, which has at least one call.
  """
  for c in contestants.values():
    c.run()  # compiles and warms up
  rates: Rates = {name: [] for name in contestants}
  order = list(contestants)
  for _ in range(rounds):
    for name in order:
      c, calls, begin = contestants[name], 0, time.perf_counter()
      while not calls or time.perf_counter() - begin < seconds:
        c.run()
        calls += 1
      rates[name].append(calls * c.work / (time.perf_counter() - begin))
    order = order[1:] + order[:1]
  return rates


def compare(rates: Rates, name: str, other: str
            ) -> tuple[float, float, float]:
  """Ratio of two contestants: (median over rounds, low, high), with a 95 %
  interval by bootstrap over rounds."""
  ratios = np.asarray(rates[name]) / np.asarray(rates[other])
  drawn = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
  low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
  return float(np.median(ratios)), float(low), float(high)


def table(rates: Rates, base: str, unit: str) -> str:
  """Lines: each contestant's median rate, and the ratio of `base` to it."""
  lines = [f'  {"":24} {unit:>14}  speed of {base}, relative to it']
  for name, r in rates.items():
    ratio = '' if name == base else '{:.2f} ({:.2f} to {:.2f})'.format(
        *compare(rates, base, name))
    lines.append(f'  {name:24} {np.median(r):14,.0f}  {ratio}')
  return '\n'.join(lines)


def write(name: str, results: Any) -> None:
  """Writes results and their machine as JSON; prints the path.

  Each machine has its own folder, since rankings differ between machines.
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


def machine() -> str:
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


def mean(ratios: Sequence[float]) -> float:
  """The geometric mean."""
  return float(np.exp(np.mean(np.log(ratios))))


def median(rates: Sequence[float]) -> float:
  return float(np.median(rates))

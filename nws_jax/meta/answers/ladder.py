"""The ladder: all classifiers that a request allows, in one table."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from nws_jax import errors
from nws_jax.meta import request as requests
from nws_jax.meta.answers import score
from nws_jax.meta.classifiers import table

COLUMNS = ('classifier', 'value', 'low', 'high', 'chance', 'steps', 'window',
           'networks', 'seconds', 'digest')


def list_requests(
    request: requests.Request,
) -> tuple[list[requests.Request], dict[str, str]]:
  """The requests of a ladder.

  Args:
    request: that of the first rung, which reads any target.

  Returns:
    (the request of each rung, {classifier: why it is left out}).
  """
  s, found, left_out = request.settings, [], {}
  for classifier in table.CLASSIFIERS.values():
    classifier.check_packages()
  for name, classifier in table.CLASSIFIERS.items():
    changed = dataclasses.replace(s, classifier=name)
    if classifier.too_slow_on_cpu and jax.default_backend() == 'cpu':
      left_out[name] = (
          f'too slow on a CPU for a ladder; --classifier={name} '
          '--config.steps=50 --config.members=1 reads it by itself')
      continue
    try:
      found.append(requests.make(request.zoo, request.target.name, changed))
    except errors.Wrong as e:
      left_out[name] = str(e)
  return found, left_out


def digest(request: requests.Request) -> str:
  """The name of a ladder's folder: of all that its rungs depend on."""
  settings_ = dataclasses.replace(request.settings, classifier='ladder')
  return dataclasses.replace(request, settings=settings_).digest


def describe(request: requests.Request, rows: Sequence[dict[str, Any]],
             left_out: dict[str, str],
             warnings: dict[str, list[str]]) -> dict[str, Any]:
  """The content of ladder.json; `warnings` are by classifier."""
  return {
      'target': request.target.name,
      'kind': 'classification' if request.target.classes else 'regression',
      'zoo': requests.describe_zoo(request.zoo),
      'config': dataclasses.asdict(request.settings),
      'rungs': list(rows), 'left_out': left_out, 'warnings': warnings}


def make_row(record: dict[str, Any], digest: str) -> dict[str, Any]:
  """A row of ladder.csv, from the content of a rung's result.json."""
  part = record.get('r2') or record['per_network']
  return dict(zip(COLUMNS, (
      record['classifier'], *score.main_figure(record), record['chance'],
      record['config']['steps'], record['windows']['length'],
      part['networks'], record['seconds'], digest)))

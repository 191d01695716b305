"""Which classifiers of the ladder a request allows, and the table of them."""

import csv
import dataclasses
import io

import jax

from nws_jax import errors
from nws_jax.meta import request as requests
from nws_jax.meta.classifiers import table

COLUMNS = ('classifier', 'value', 'low', 'high', 'chance', 'steps', 'window',
           'networks', 'seconds', 'digest')


def list_requests(request):
  """A ladder's requests.

  Args:
    request: the `request.Request` of the first rung, which takes any.

  Returns:
    ([Request], {classifier: why it is left out}).
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


def digest(request):
  """Names the folder of a ladder: all that its rungs depend on."""
  settings_ = dataclasses.replace(request.settings, classifier='ladder')
  return dataclasses.replace(request, settings=settings_).digest


def describe(request, rows, left_out, warnings):
  """What ladder.json says; `warnings` are those of each classifier."""
  return {
      'target': request.target.name,
      'kind': 'classification' if request.target.classes else 'regression',
      'zoo': requests.describe_zoo(request.zoo),
      'config': dataclasses.asdict(request.settings),
      'rungs': rows, 'left_out': left_out, 'warnings': warnings}


def make_row(record, digest):
  """A row of ladder.csv, from the content of a rung's result.json."""
  part = record.get('r2') or record['per_network']
  low, high = part['interval']
  return dict(zip(COLUMNS, (
      record['classifier'], part.get('accuracy', part.get('value')), low, high,
      record['chance'], record['config']['steps'],
      record['windows']['length'], part['networks'], record['seconds'],
      digest)))


def write(rows):
  """The text of ladder.csv."""
  out = io.StringIO()
  writer = csv.DictWriter(out, COLUMNS, lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  return out.getvalue()

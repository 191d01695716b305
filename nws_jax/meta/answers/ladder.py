"""Which classifiers of the ladder a request allows, and the table of them."""

import csv
import dataclasses
import io

import jax

from nws_jax import errors
from nws_jax.meta import settings
from nws_jax.meta.classifiers import equivariant, published, sklearn_models
from nws_jax.meta.data import layouts, reading

COLUMNS = ('classifier', 'value', 'low', 'high', 'chance', 'steps', 'window',
           'networks', 'seconds', 'digest')
_TIMES = ('epoch', 'train_epoch')  # axes that leave a window as it is


def choose_window(classifier, members, window):
  """`reading.choose_window`; the whole vector where a classifier needs it."""
  if classifier == settings.EQUIVARIANT and not window:
    return int(members['num_weights'].min())
  return reading.choose_window(members, window)


def count_members(s, axes):
  """Models of each task: one of those that are slow or exact."""
  if s.classifier not in (settings.FAST, settings.CNN):
    return 1
  return s.grid_members if axes else s.members


def check(classifier, window, axes, members, layers):
  """Raises `Wrong` where a classifier cannot take what a request gives it."""
  sklearn_models.check(classifier)
  check_length(classifier, window)
  if classifier != settings.EQUIVARIANT:
    return
  architectures = dict.fromkeys(members['architecture'])
  places = [a for a in axes if a not in _TIMES]
  if (len(architectures) > 1 or window != members['num_weights'].min()
      or places):
    what = (f'{len(architectures)} architectures' if len(architectures) > 1
            else f'--ablate={",".join(places)}' if places
            else f'a window of {window} weights')
    raise errors.Wrong(
        '--classifier=equivariant reads whole vectors of one architecture, '
        f'not {what}. Use --classifier=transformer or fast.')
  equivariant.plan(layouts.read(layers, architectures)[0])


def check_length(classifier, window):
  """Raises `Wrong` for windows that a classifier cannot take."""
  if classifier == settings.CNN and window < published.CNN_SHORTEST:
    raise errors.Wrong(
        f'a window of {window} weights is too short for the cnn, whose '
        f'poolings need {published.CNN_SHORTEST}. Use --classifier=fast.')


def list_requests(request):
  """A ladder's requests.

  Args:
    request: the `request.Request` of the first rung, which takes any.

  Returns:
    ([Request], {classifier: why it is left out}).
  """
  from nws_jax.meta import request as requests
  s, found, left_out = request.settings, [], {}
  sklearn_models.check(settings.LOGISTIC)
  for name in settings.CLASSIFIERS:
    changed = dataclasses.replace(s, classifier=name)
    if name == settings.CNN and jax.default_backend() == 'cpu':
      if not s.cnn_steps:
        left_out[name] = ('too slow on a CPU; --config.cnn_steps=50 trains it '
                          'for so many steps')
        continue
      changed = dataclasses.replace(
          changed, steps=s.cnn_steps, passes=0, members=1)
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
  from nws_jax.meta import request as requests
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

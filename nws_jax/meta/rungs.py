"""Which classifiers of the ladder a request allows, and the table of them."""

import csv
import io

from nws_jax import errors
from nws_jax.meta import (
  baselines,
  classifiers,
  equivariant,
  layouts,
  reading,
  settings,
)

COLUMNS = ('classifier', 'value', 'low', 'high', 'chance', 'window', 'networks',
           'seconds', 'digest')
_TIMES = ('epoch', 'train_epoch')  # axes that leave a window as it is


def choose_window(classifier, members, window):
  """`reading.choose_window`; the whole vector where a classifier needs it."""
  if classifier == settings.EQUIVARIANT and not window:
    return int(members['num_weights'].min())
  return reading.choose_window(members, window)


def check(classifier, window, axes, members, layers):
  """Raises `Wrong` where a classifier cannot take what a request gives it."""
  baselines.check(classifier)
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
  if classifier == settings.CNN and window < classifiers.CNN_SHORTEST:
    raise errors.Wrong(
        f'a window of {window} weights is too short for the cnn, whose '
        f'poolings need {classifiers.CNN_SHORTEST}. Use --classifier=fast.')


def make_row(record, seconds, digest):
  """A row of ladder.csv, from the content of a result.json."""
  part = record.get('r2') or record['per_network']
  low, high = part['interval']
  return dict(zip(COLUMNS, (
      record['classifier'], part.get('accuracy', part.get('value')), low, high,
      record['chance'], record['windows']['length'], part['networks'],
      seconds, digest)))


def write(rows):
  """The text of ladder.csv."""
  out = io.StringIO()
  writer = csv.DictWriter(out, COLUMNS, lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  return out.getvalue()

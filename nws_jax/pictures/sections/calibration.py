"""The section on whether the classifiers' probabilities are true."""

from typing import Sequence

from nws_jax.pictures import calibration, ranking, records, theme
from nws_jax.pictures.page import blocks


def describe(found: Sequence[records.Result]) -> blocks.Section | None:
  """Describes calibration; None if no result has one.

  Args:
    found: results, in `ranking.order`.
  """
  shown = ranking.sort_by_gain(ranking.choose_each(
      [r for r in found if 'calibration' in r.data]).shown)
  if not shown:
    return None
  best = ranking.choose_best(shown)
  return blocks.Section('calibration', 'How far to trust the probabilities', [
      blocks.Picture(
          'calibration', 'Reliability of the best classifier of each property: '
          'how often predictions of a given probability are right, with 95 % '
          'intervals. Larger dots are of more networks. Hollow: before a '
          'temperature was fitted to the validation networks. The dashed line '
          'marks perfect calibration.', 'Reliability curves of '
          + ', '.join(theme.words(r.target) for r in best) + '.',
          calibration.draw(best), calibration.tabulate_curves(best)),
      blocks.Table(
          'calibration_table', 'Expected calibration error, beside the error '
          'that as many networks would show if all probabilities were true; '
          'and the loss in nats, beside that of equal probabilities, the '
          'logarithm of the number of classes.', calibration.tabulate(shown),
          dict.fromkeys(
              ('calibration_error', 'error_if_true', 'uncalibrated_error',
               'temperature', 'loss', 'loss_of_guessing'), '{:.3f}'.format))])

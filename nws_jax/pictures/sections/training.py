"""The section on learning curves, and on which values the zoo covers."""

import pandas as pd

from nws_jax.pictures import population, spread, theme
from nws_jax.pictures.page import blocks

_SHOWN = ('initialization', 'optimizer', 'activation', 'augmentation')


def describe(members: pd.DataFrame, metrics: pd.DataFrame) -> blocks.Section:
  """Describes training, from members.csv and metrics.csv."""
  names = [n for n in _SHOWN if n in population.find_varying(members)]
  return blocks.Section('training', 'Training and coverage', [
      blocks.Picture(
          'curves', 'Test accuracy by epoch: medians, with bands between the '
          'quartiles where no more than two overlap. Epoch 0 is before the '
          'first update. Before the last epoch, accuracy is measured on a '
          'fixed part of the test images.', 'Learning curves by '
          + ', '.join(map(theme.words, ['data set', *names])) + '.',
          spread.draw_curves(members, metrics, names),
          population.trace_curves(members, metrics)),
      blocks.Table(
          'coverage', 'Coverage: how many networks have each value, on which '
          'side of the split they are (all networks of a setting are on the '
          'same side), and how their training ended.',
          population.summarize_coverage(members))])

"""How every picture looks: sizes, colours, the order and words of values.

Pictures are drawn at 100 pixels an inch of page and saved at twice that. The
colours are those of Okabe and Ito, told apart by colour-blind readers.
"""

import io

import matplotlib
from matplotlib import figure as mpl_figure

from nws_jax import space

COLOURS = ('#0072b2', '#e69f00', '#009e73', '#d55e00', '#cc79a7', '#56b4e9',
           '#7f7f7f')
INK, FAINT = '#222222', '#8a8a8a'
MARKERS = 'osD^vPX'
SIGNED = matplotlib.colormaps['PuOr_r']  # of numbers around 0
RANGED = matplotlib.colormaps['viridis']  # of numbers without a middle

_STYLE = {
    'font.size': 9.5,
    'font.family': 'DejaVu Sans',
    'axes.titlesize': 10,
    'axes.titleweight': 'bold',
    'axes.titlelocation': 'left',
    'axes.titlepad': 8,
    'axes.labelsize': 9.5,
    'axes.edgecolor': FAINT,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.axisbelow': True,
    'axes.grid': True,
    'grid.color': '#e6e6e6',
    'grid.linewidth': 0.8,
    'text.parse_math': False,  # names come from files
    'text.color': INK,
    'axes.labelcolor': INK,
    'xtick.color': INK,
    'ytick.color': INK,
    'xtick.labelsize': 8.5,
    'ytick.labelsize': 8.5,
    'xtick.major.size': 0,
    'ytick.major.size': 0,
    'legend.frameon': False,
    'legend.fontsize': 8.5,
    'hatch.linewidth': 0.6,
    'hatch.color': '#666666',
    'figure.facecolor': 'white',
    'savefig.facecolor': 'white',
}


def style():
  """The context in which pictures are made."""
  return matplotlib.rc_context(_STYLE)


def figure(width, height):
  """An empty figure, in inches of 100 pixels of the page."""
  return mpl_figure.Figure(figsize=(width, height), layout='constrained')


def to_png(drawn):
  """PNG bytes at twice the page's resolution; the same for the same data."""
  stream = io.BytesIO()
  drawn.savefig(stream, format='png', dpi=200, metadata={'Software': None})
  return stream.getvalue()


def levels(name, values):
  """The distinct values of a property: words in the order of its choices."""
  present = sorted(set(values))
  if not any(isinstance(v, str) for v in present):
    return present
  choices = space.BY_NAME[name].words
  return [c for c in choices if c in present] + [
      v for v in present if v not in choices]


def colours(values):
  """{value: colour}; more values than colours begin again."""
  return {v: COLOURS[i % len(COLOURS)] for i, v in enumerate(values)}


def words(name):
  """A column's or property's name for people."""
  return 'R²' if name == 'r2' else str(name).replace('_', ' ')


def label(value):
  """How a value of a property is written in pictures and tables."""
  return {'True': 'on', 'False': 'off'}.get(str(value), str(value))


def percent_axis(axis):
  axis.set_major_formatter(lambda x, _: f'{100 * x:.0f} %')

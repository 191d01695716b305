"""How pictures look: sizes, colours, and the order and names of values.

An inch of a picture is 100 pixels of the page; files have twice as many. The
colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

import io
import math
from typing import Any, ContextManager, Iterable

import matplotlib
from matplotlib import axis as mpl_axis
from matplotlib import figure as mpl_figure

from nws_jax import space

COLOURS = ('#0072b2', '#e69f00', '#009e73', '#d55e00', '#cc79a7', '#56b4e9',
           '#7f7f7f')
INK, FAINT = '#222222', '#8a8a8a'
MARKERS = 'osD^vPX'
DASHES = (0, (2, 2))  # of lines that mark chance, or equality
SIGNED = matplotlib.colormaps['PuOr_r']  # of numbers around 0
RANGED = matplotlib.colormaps['viridis']  # of numbers without a middle

_STYLE: Any = {
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


def style() -> ContextManager[None]:
  """The context in which pictures are made."""
  return matplotlib.rc_context(_STYLE)


def figure(width: float, height: float) -> mpl_figure.Figure:
  """An empty figure; its size is in inches."""
  return mpl_figure.Figure(figsize=(width, height), layout='constrained')


def to_png(drawn: mpl_figure.Figure) -> bytes:
  """PNG bytes at twice the page's resolution; equal data give equal bytes."""
  stream = io.BytesIO()
  drawn.savefig(stream, format='png', dpi=200, metadata={'Software': None})
  return stream.getvalue()


def levels(name: str, values: Iterable[Any]) -> list[Any]:
  """The distinct values of a property: words in the order of its choices."""
  present = sorted(set(values))
  if not any(isinstance(v, str) for v in present):
    return present
  choices = space.WORDS.get(name, ())
  return [c for c in choices if c in present] + [
      v for v in present if v not in choices]


def colours(values: Iterable[Any]) -> dict[Any, str]:
  """{value: colour}; colours repeat where there are more values."""
  return {v: COLOURS[i % len(COLOURS)] for i, v in enumerate(values)}


def words(name: object) -> str:
  """The name of a column or a property, for people."""
  return 'R²' if name == 'r2' else str(name).replace('_', ' ')


def label(value: object) -> str:
  """A property's value, as pictures and tables write it."""
  return {'True': 'on', 'False': 'off'}.get(str(value), str(value))


DASH = '–'  # where there is no number


def percent(value: float) -> str:
  return DASH if math.isnan(value) else f'{100 * value:.1f} %'


def percent_axis(axis: mpl_axis.Axis) -> None:
  axis.set_major_formatter(lambda x, _: f'{100 * x:.0f} %')

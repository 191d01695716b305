"""What several sections say in the same words."""

from typing import Callable, Sequence

from nws_jax.pictures import records, theme
from nws_jax.pictures.page import blocks


def warn_of_others(found: Sequence[records.Record],
                   digest: str) -> list[blocks.Block]:
  """Names the records that are not of the zoo with this digest."""
  others = [r for r in found if r.digest != digest]
  if not others:
    return []
  names = ', '.join(f'{theme.words(r.target)} ({r.classifier}, {r.folder.name})'
                    for r in others)
  return [blocks.Notice('These results were read from another zoo, or from an '
                        f'earlier state of this one: {names}.')]


def list_others(others: Sequence[records.Record]) -> list[blocks.Block]:
  """Names the records that the page does not show."""
  if not others:
    return []
  names = '; '.join(f'{r.title}, {r.settings} ({r.folder.name})'
                    for r in others)
  return [blocks.Text('Not shown, because their settings, their version or '
                      f'their zoo is another one: {names}.')]


def percents(*columns: str) -> dict[str, Callable[[float], str]]:
  """The formats of columns of fractions."""
  return dict.fromkeys(columns, theme.percent)


def mark_above(above: bool) -> str:
  return '● yes' if above else '○ no'

"""The section on how to make all of it again."""

from typing import Any, Mapping, NamedTuple, Sequence

import pandas as pd

from nws_jax.pictures.page import blocks


class Row(NamedTuple):
  key: str
  value: str


def describe(config: Mapping[str, Any],
             commands: Sequence[str]) -> blocks.Section:
  """Shows the commands that make all of it, and the zoo's config.json."""
  rows = [row for key, part in config.items() for row in _flatten(key, part)]
  return blocks.Section('making', 'How it was made', [
      blocks.Text('These commands make it again, up to the rounding of another '
                  'device or version.'),
      blocks.Commands(commands),
      blocks.Table('config', 'The configuration, as it stands in the zoo\'s '
                   'config.json.', pd.DataFrame(rows, columns=Row._fields),
                   {'value': str})])


def _flatten(name: str, part: Any) -> list[Row]:
  if isinstance(part, dict):
    return [row for key, inner in part.items()
            for row in _flatten(f'{name}.{key}', inner)]
  values = part if isinstance(part, list) else [part]
  return [Row(name, ', '.join(map(str, values)))]

"""Progress bars on stderr.

A terminal shows a bar that moves; a file or pipe gets a line now and then.
"""

import sys
from typing import Any

import tqdm


def make(total: float | None = None, **options: Any) -> tqdm.tqdm:
  """A `tqdm.tqdm` on this process's stderr; `options` are passed on."""
  is_terminal = sys.stderr.isatty()
  return tqdm.tqdm(
      total=total, file=sys.stderr if is_terminal else _Lines(),
      mininterval=0.5 if is_terminal else 20, dynamic_ncols=is_terminal,
      **options)


class _Lines:
  """A stderr that is not a terminal: each state of a bar becomes a line."""

  def write(self, text: str) -> None:
    text = text.strip()
    if text:
      sys.stderr.write(text + '\n')

  def flush(self) -> None:
    sys.stderr.flush()

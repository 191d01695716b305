"""Progress bars on stderr, readable where it is no terminal: one place.

A terminal gets a bar that moves; a file or pipe gets a line now and then.
"""

import sys

import tqdm


def make(total=None, **options):
  """A `tqdm.tqdm` for this process's stderr; `options` are passed on."""
  shown = sys.stderr.isatty()
  return tqdm.tqdm(
      total=total, file=sys.stderr if shown else _Lines(),
      mininterval=0.5 if shown else 20, dynamic_ncols=shown, **options)


class _Lines:
  """stderr that is no terminal: a line for every state of a bar."""

  def write(self, text):
    text = text.strip()
    if text:
      sys.stderr.write(text + '\n')

  def flush(self):
    sys.stderr.flush()

"""A bar on stderr: networks done, images a second, time left."""

import sys

import tqdm


class Bar:
  """Counts epochs of networks; whole networks are what it shows."""

  def __init__(self):
    self._bar = None

  def start(self, networks, epochs, done):
    """`done` epochs of networks were trained by an earlier run."""
    shown = sys.stderr.isatty()
    self._images, self._epochs = 0, epochs
    self._bar = tqdm.tqdm(
        total=networks * epochs, initial=done, file=sys.stderr,
        unit='', mininterval=0.5 if shown else 20, dynamic_ncols=shown,
        ncols=None if shown else 100, desc='zoo',
        bar_format='{desc}: {percentage:3.0f}%|{bar}| {postfix} '
                   '[{elapsed}<{remaining}]')
    self._begin = self._bar._time()
    self._total = networks
    self._show()

  def advance(self, networks, images):
    self._images += images
    self._bar.update(networks)
    self._show()

  def note(self, text):
    self._bar.set_description_str(f'zoo, {text}', refresh=False)

  def close(self):
    if self._bar is not None:
      self._bar.close()

  def _show(self):
    seconds = max(self._bar._time() - self._begin, 1e-9)
    self._bar.set_postfix_str(
        f'{self._bar.n / self._epochs:.0f} of {self._total} networks, '
        f'{self._images / seconds:,.0f} images/s', refresh=False)

"""A bar on stderr: networks done, images a second, time left."""

import sys
import time

import tqdm


class Bar:
  """Counts epochs of networks; whole networks are what it shows."""

  def __init__(self):
    self._bar = None

  def start(self, networks, epochs, done):
    """`done` epochs of networks were trained by an earlier run."""
    shown = sys.stderr.isatty()
    self._networks, self._epochs, self._done = networks, epochs, done
    self._images, self._begin, self._unit = 0, time.monotonic(), ''
    self._bar = tqdm.tqdm(
        total=networks * epochs, initial=done, dynamic_ncols=shown,
        file=sys.stderr if shown else _Lines(),
        mininterval=0.5 if shown else 20,
        bar_format='{desc} ' + '|{bar}| ' * shown
                   + '{percentage:.0f}% [{elapsed}<{remaining}]')
    self._show()

  def advance(self, networks, images):
    self._images += images
    self._done += networks
    self._show()
    self._bar.update(networks)

  def skip(self, epochs):
    """Epochs of networks that need not be trained."""
    self._done += epochs
    self._show()
    self._bar.update(epochs)

  def note(self, text):
    self._unit = text
    self._show()

  def close(self):
    if self._bar is not None:
      self._bar.close()

  def _show(self):
    rate = self._images / max(time.monotonic() - self._begin, 1e-9)
    self._bar.set_description_str(
        f'{self._unit}: {self._done / self._epochs:.0f} of {self._networks} '
        f'networks, {rate:,.0f} images/s', refresh=False)


class _Lines:
  """stderr that is no terminal: a line for every state of the bar."""

  def write(self, text):
    text = text.strip()
    if text:
      sys.stderr.write(text + '\n')

  def flush(self):
    sys.stderr.flush()

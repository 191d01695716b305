"""A bar on stderr: networks done, images a second, time left."""

import sys
import time

from nws_jax import bars


class Bar:
  """Counts epochs of networks; whole networks are what it shows."""

  def __init__(self):
    self._bar = None

  def start(self, networks, epochs, done):
    """`done` epochs of networks were trained by an earlier run."""
    self._networks, self._epochs, self._done = networks, epochs, done
    self._images, self._begin, self._unit = 0, time.monotonic(), ''
    self.close()  # of a run that began anew with half of the slots
    self._bar = bars.make(
        networks * epochs, initial=done,
        bar_format='{desc} |{bar:20}| {percentage:.0f}% '
                   '[{elapsed}<{remaining}]')
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

  def say(self, text):
    """A line that stays."""
    if self._bar is None:
      print(text, file=sys.stderr, flush=True)
    else:
      self._bar.write(text, file=sys.stderr)

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

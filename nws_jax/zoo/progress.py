"""The progress bar of a run: networks done, images a second, time left."""

import sys
import time

import tqdm

from nws_jax import bars


class Bar:
  """Counts epochs of networks, and shows whole networks."""

  def __init__(self) -> None:
    self._bar: tqdm.tqdm | None = None

  def start(self, networks: int, epochs: int, done: int) -> None:
    """Shows the bar.

    Args:
      networks: of the zoo.
      epochs: of each network.
      done: epochs of networks that earlier runs have trained.
    """
    self._networks, self._epochs, self._done = networks, epochs, done
    self._images, self._begin, self._unit = 0, time.monotonic(), ''
    self.close()  # a run that restarts with half of the slots has one already
    self._bar = bars.make(
        networks * epochs, initial=done,
        bar_format='{desc} |{bar:20}| {percentage:.0f}% '
                   '[{elapsed}<{remaining}]')
    self._show()

  def advance(self, networks: int, images: int) -> None:
    """Counts an epoch of some networks, which took so many images in all."""
    self._images += images
    self._count(networks)

  def skip(self, epochs: int) -> None:
    """Counts epochs of networks that need not be trained."""
    self._count(epochs)

  def say(self, text: str) -> None:
    """Prints a line that stays above the bar."""
    if self._bar is None:
      print(text, file=sys.stderr, flush=True)
    else:
      self._bar.write(text, file=sys.stderr)

  def note(self, text: str) -> None:
    """Shows the name of the unit that is trained now."""
    self._unit = text
    self._show()

  def close(self) -> None:
    """Removes the bar, if there is one."""
    if self._bar is not None:
      self._bar.close()

  def _count(self, epochs: int) -> None:
    self._done += epochs
    self._show().update(epochs)

  def _show(self) -> tqdm.tqdm:
    """Updates the text of the bar, and returns the bar."""
    assert self._bar is not None, 'start() comes first'
    rate = self._images / max(time.monotonic() - self._begin, 1e-9)
    self._bar.set_description_str(
        f'{self._unit}: {self._done / self._epochs:.0f} of {self._networks} '
        f'networks, {rate:,.0f} images/s', refresh=False)
    return self._bar

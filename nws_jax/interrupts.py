"""Ends a command at once on SIGINT or SIGTERM, wherever it is.

An exception raised in the main thread could be lost in a callback of the
garbage collector, break a half-finished import, or wait for native code.
Instead a separate thread learns of the signal through a pipe that Python's own
handler writes to, saves what must be saved, and ends the process.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from nws_jax import say

CODE = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A signal that comes this many seconds after the first ends the process without
# saving. (One Ctrl-C may arrive as several signals.)
_AGAIN = 0.5
_listening: list[int] = []  # the signals that are handled
_saves: list[Callable[[], object]] = []  # called before the process ends


def listen(name: str) -> None:
  """Starts to handle signals; does nothing outside the main thread.

  Further calls do nothing. A signal that the parent process had set to be
  ignored stays ignored.

  Args:
    name: of the command, which its last line starts with.
  """
  if _listening or (
      threading.current_thread() is not threading.main_thread()):
    return
  reader, writer = os.pipe()
  os.set_blocking(writer, False)
  signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
  for n in _SIGNALS:
    if signal.getsignal(n) != signal.SIG_IGN:
      signal.signal(n, lambda *_: None)  # else nothing is written
      signal.siginterrupt(n, False)  # reads are resumed, not aborted
      _listening.append(n)
  os.register_at_fork(after_in_child=_forget)
  threading.Thread(target=_watch, args=(name, reader), daemon=True).start()


@contextlib.contextmanager
def saving(save: Callable[[], object]) -> Iterator[None]:
  """In this context a signal calls `save()`, in another thread, before the
  process ends."""
  _saves.append(save)
  try:
    yield
  finally:
    _saves.remove(save)


def _forget() -> None:
  """Restores the default handlers in a forked child, which has no thread that
  listens."""
  signal.set_wakeup_fd(-1)
  for n in _listening:
    signal.signal(n, signal.SIG_DFL)


def _watch(name: str, reader: int) -> None:
  first: float | None = None
  while True:
    for n in os.read(reader, 64):
      if n not in _listening:
        continue
      if first is None:
        first = time.monotonic()
        threading.Thread(target=_end, args=(name,), daemon=True).start()
      elif time.monotonic() - first > _AGAIN:
        os._exit(CODE)


def _end(name: str) -> None:
  message, code = 'interrupted', CODE
  for save in reversed(_saves):
    try:
      save()
    except Exception as e:  # for example a full disk
      message, code = f'interrupted, and not saved: {say.first(e)}', 1
  # The main thread may hold the lock of stderr while it waits to write: another
  # thread prints, and is not waited for longer than this.
  printer = threading.Thread(target=_print, args=(f'{name}: {message}\n',),
                             daemon=True)
  printer.start()
  printer.join(0.5)
  # sys.exit would wait for running computations and compilations.
  os._exit(code)


def _print(text: str) -> None:
  with contextlib.suppress(Exception):
    end = '\n' if sys.stderr.isatty() else ''  # of a progress bar's line
    sys.stderr.write(end + text)
    sys.stderr.flush()
  with contextlib.suppress(Exception):
    sys.stdout.flush()

"""How SIGINT and SIGTERM end a command: at once, wherever it is.

An exception raised in the main thread would be lost in a callback of the
garbage collector, break an import that is half done, or wait for native code.
So a thread of its own hears of the signal from the system's handler, saves what
is to be saved, and ends the process.
"""

import contextlib
import os
import signal
import sys
import threading
import time

from nws_jax import say

CODE = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AGAIN = 0.5  # seconds after which another signal is a second one
_listening = []  # the signals that are heard
_saves = []  # what has to be done before the process ends


def listen(name):
  """Begins to hear signals, once; does nothing outside the main thread.

  A signal that the parent process had set to be ignored is ignored.

  Args:
    name: of the command, for its last line.
  """
  if _listening or (
      threading.current_thread() is not threading.main_thread()):
    return
  reader, writer = os.pipe()
  os.set_blocking(writer, False)
  signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
  for n in _SIGNALS:
    if signal.getsignal(n) != signal.SIG_IGN:
      signal.signal(n, lambda *_: None)  # else nobody would be woken
      signal.siginterrupt(n, False)  # no library's reading fails meanwhile
      _listening.append(n)
  os.register_at_fork(after_in_child=_forget)
  threading.Thread(target=_watch, args=(name, reader), daemon=True).start()


@contextlib.contextmanager
def saving(save):
  """Has a signal call `save()`, in another thread, before the process ends."""
  _saves.append(save)
  try:
    yield
  finally:
    _saves.remove(save)


def _forget():
  """A process that was forked has no thread that hears."""
  signal.set_wakeup_fd(-1)
  for n in _listening:
    signal.signal(n, signal.SIG_DFL)


def _watch(name, reader):
  first = None
  while True:
    for n in os.read(reader, 64):
      if n not in _listening:
        continue
      if first is None:
        first = time.monotonic()
        threading.Thread(target=_end, args=(name,), daemon=True).start()
      elif time.monotonic() - first > _AGAIN:
        os._exit(CODE)


def _end(name):
  said, code = 'interrupted', CODE
  for save in reversed(_saves):
    try:
      save()
    except Exception as e:  # as a full disk
      said, code = f'interrupted, and not saved: {say.first(e)}', 1
  # The main thread may be waiting to write, and would let nobody else.
  teller = threading.Thread(target=_tell, args=(f'{name}: {said}\n',),
                            daemon=True)
  teller.start()
  teller.join(0.5)
  # An ordinary exit would wait for the device's work and for a compiler.
  os._exit(code)


def _tell(text):
  with contextlib.suppress(Exception):
    bar = '\n' if sys.stderr.isatty() else ''  # one may stand there
    sys.stderr.write(bar + text)
    sys.stderr.flush()
  with contextlib.suppress(Exception):
    sys.stdout.flush()

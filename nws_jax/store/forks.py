"""Refuses to use libraries whose threads a fork of the process has lost.

In a forked process, TensorStore ends the process and JAX waits for its threads
forever. Neither can be repaired from outside, so `use` raises an error before.
"""

import os

from nws_jax import errors

_used: set[str] = set()  # libraries whose threads this process has
_lost: set[str] = set()  # those whose threads its parent process had
os.register_at_fork(after_in_child=lambda: _lost.update(_used))


def use(library: str) -> None:
  """Records that this process starts threads of a library.

  Raises:
    Wrong: this process was forked from one that had such threads.
  """
  if library in _lost:
    raise errors.Wrong(
        f'this process was forked from one that had used {library}, whose '
        'threads a fork does not copy. Start workers by spawn instead: '
        "multiprocessing.get_context('spawn'), or DataLoader(..., "
        "multiprocessing_context='spawn').")
  _used.add(library)

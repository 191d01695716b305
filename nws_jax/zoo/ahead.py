"""Compiles the next program in a thread while the present one trains."""

import concurrent.futures


class Ahead:
  """Programs by what they are compiled for; keeps those that were asked for
  last, since each holds memory."""

  def __init__(self, build, ahead=True):
    """`build(key) -> program`; not `ahead`: only when it is needed."""
    self._build, self._ahead, self._futures = build, ahead, {}
    self._pool = concurrent.futures.ThreadPoolExecutor(1)

  def __enter__(self):
    return self

  def __exit__(self, error, *_):
    # Who was interrupted, or failed, does not wait for a compiler.
    self._pool.shutdown(wait=error is None, cancel_futures=True)

  def get(self, key, following=None):
    """The program of `key`; begins that of `following`, if it is another."""
    wanted = {key} | ({following} if self._ahead and following else set())
    self._futures = {k: f for k, f in self._futures.items() if k in wanted}
    for k in sorted(wanted, key=lambda k: k != key):
      if k not in self._futures:
        self._futures[k] = self._pool.submit(self._build, k)
    return self._futures[key].result()

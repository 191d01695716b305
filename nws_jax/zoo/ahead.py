"""Compiles the next programs in threads while the present one trains."""

import concurrent.futures
from collections.abc import Callable, Hashable, Iterable
from typing import Any


class Ahead:
  """Programs by what they are compiled for; keeps those that were asked for
  last, since each holds memory."""

  def __init__(self, build: Callable[[Any], Any], ahead: int = 1) -> None:
    """`build(key) -> program`, of so many ahead at once; 0: only when it is
    needed."""
    self._build, self._ahead = build, ahead
    self._futures: dict[Hashable, concurrent.futures.Future[Any]] = {}
    self._pool = concurrent.futures.ThreadPoolExecutor(max(1, ahead))

  def __enter__(self) -> 'Ahead':
    return self

  def __exit__(self, error: type[BaseException] | None, *_: Any) -> None:
    # Who was interrupted, or failed, does not wait for a compiler.
    self._pool.shutdown(wait=error is None, cancel_futures=True)

  def get(self, key: Hashable, following: Iterable[Hashable] = ()) -> Any:
    """The program of `key`; begins those of `following`, the next ones."""
    wanted = list(dict.fromkeys([key, *following]))[:1 + self._ahead]
    self._futures = {k: f for k, f in self._futures.items() if k in wanted}
    for k in wanted:
      if k not in self._futures:
        self._futures[k] = self._pool.submit(self._build, k)
    return self._futures[key].result()

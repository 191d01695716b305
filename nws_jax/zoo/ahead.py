"""Compiles the next programs in threads while the current one trains."""

import concurrent.futures
from collections.abc import Callable, Hashable, Iterable
from types import TracebackType
from typing import Generic, Self, TypeVar

Key = TypeVar('Key', bound=Hashable)
Program = TypeVar('Program')


class Ahead(Generic[Key, Program]):
  """Compiled programs by their keys, which say what they are compiled for.

  Only the programs that the last call of `get` named are kept, because each of
  them holds memory.
  """

  def __init__(self, build: Callable[[Key], Program], ahead: int = 1) -> None:
    """Starts the threads.

    Args:
      build: compiles the program of a key.
      ahead: how many programs are compiled before they are needed; 0: none.
    """
    self._build, self._ahead = build, ahead
    self._futures: dict[Key, concurrent.futures.Future[Program]] = {}
    self._pool = concurrent.futures.ThreadPoolExecutor(max(1, ahead))

  def __enter__(self) -> Self:
    return self

  def __exit__(self, error: type[BaseException] | None,
               value: BaseException | None, traceback: TracebackType | None
               ) -> None:
    # After an error or an interruption, nothing waits for the compiler.
    self._pool.shutdown(wait=error is None, cancel_futures=True)

  def get(self, key: Key, following: Iterable[Key] = ()) -> Program:
    """Returns the program of a key, and starts to compile those that follow.

    Args:
      key: of the program that is needed now.
      following: the keys of the next programs, in their order.
    """
    wanted = list(dict.fromkeys([key, *following]))[:1 + self._ahead]
    self._futures = {k: f for k, f in self._futures.items() if k in wanted}
    for k in wanted:
      if k not in self._futures:
        self._futures[k] = self._pool.submit(self._build, k)
    return self._futures[key].result()

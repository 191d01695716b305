"""The two ways in which a command fails, each with its exit code."""


class Wrong(Exception):
  """The request is wrong: exit code 2. The message names the fix."""


def impossible(name: str, value: object, allowed: str) -> Wrong:
  """The error for a value that is not among those allowed."""
  return Wrong(f'{name}={value!r} is not possible; allowed: {allowed}.')


class Damaged(Exception):
  """What exists is damaged, or a run failed: exit code 1."""

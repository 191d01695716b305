"""The two ways in which a command fails, each with its exit code."""


class Wrong(Exception):
  """The request is wrong: exit code 2. The message names the fix."""


class Damaged(Exception):
  """What exists is damaged, or a run failed: exit code 1."""

"""The two ways a command fails, and the exit code of each."""


class Wrong(Exception):
  """What was asked for is wrong: exit code 2. The message names the fix."""


class Damaged(Exception):
  """What exists is damaged, or a run failed: exit code 1."""

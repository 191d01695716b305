"""Bytes and seconds in words for people, in this one place."""

import math


def size(num_bytes):
  if num_bytes >= 1e9:
    return f'{num_bytes / 1e9:,.2f} GB'
  return f'{num_bytes / 1e6:.1f} MB'


def time(seconds):
  if seconds < 90:
    return f'{math.ceil(seconds)} s'
  if seconds < 90 * 60:
    return f'{seconds / 60:.0f} min'
  if seconds < 72 * 3600:
    return f'{seconds / 3600:.1f} h'
  return f'{seconds / 86400:.1f} days'


def first(error):
  """The first line of what an exception says; its kind, if it says nothing.

  Without a full stop: it goes on in a sentence.
  """
  lines = str(error).strip().splitlines() or [type(error).__name__]
  return lines[0][:300].rstrip('.')

"""Pickles, among them PyTorch's own files, are never loaded."""

import os
from typing import NoReturn

from nws_jax import errors


def is_pickle(path: str, head: bytes) -> bool:
  """By the first bytes of a file and its last."""
  if head[:1] != b'\x80' or head[1:2] not in (b'\2', b'\3', b'\4', b'\5'):
    return False
  with open(path, 'rb') as f:
    f.seek(max(0, os.path.getsize(path) - 1))
    return f.read(1) == b'.'


def read(path: str, lengths: set[int]) -> NoReturn:
  """Raises `errors.Wrong`."""
  raise refuse(path)


def refuse(path: str) -> errors.Wrong:
  """The error for a pickle, or a file that holds one."""
  return errors.Wrong(
      f'{path} is a pickle, which can run any code when it is loaded: it is '
      'not. Save the arrays as .npz or .safetensors; from PyTorch: '
      'safetensors.torch.save_file(model.state_dict(), '
      "'model.safetensors').")

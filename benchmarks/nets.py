"""The architectures of the contest, and their plain forms in PyTorch.

PyTorch's are written as is usual there, with two advantages: pooling before the
activation, and the fastest form of the optimizer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nws_jax import published
from nws_jax.zoo.families.cnn import shapes

if TYPE_CHECKING:
  import torch

# (filter size, conv depth, fc depth, conv width, fc width, batch size)
_SPREAD = (
    (3, 3, 3, 8, 128, 64), (3, 3, 4, 12, 192, 128), (3, 4, 2, 4, 128, 256),
    (3, 4, 3, 12, 64, 32), (3, 5, 4, 8, 192, 64), (5, 3, 2, 4, 192, 32),
    (5, 4, 4, 4, 64, 128), (5, 4, 2, 8, 192, 256), (5, 5, 3, 12, 128, 64),
    (7, 3, 4, 8, 64, 32), (7, 4, 3, 4, 192, 64), (7, 5, 2, 8, 128, 128))
POINTS = {
    'fixed': (5, 3, 2, 8, 128, 64), 'smallest': (3, 3, 2, 4, 64, 32),
    'largest': (7, 5, 4, 12, 192, 256), 'default zoo': (3, 3, 2, 4, 64, 64),
    **{f'main {n:02d}': p for n, p in enumerate(_SPREAD)}}


def point(name: str) -> tuple[published.Architecture, int]:
  """(`published.Architecture`, batch size) of a point of the contest."""
  filter_size, depth_conv, depth_fc, width_conv, width_fc, batch_size = (
      POINTS[name])
  return published.Architecture(
      filter_size, depth_conv, depth_fc, width_conv, width_fc), batch_size


def module(arch: published.Architecture, activation: str = 'relu',
           dropout: float = 0.5) -> Any:
  """The network of the recipe as a `torch.nn.Module` of NCHW images."""
  import torch
  from torch import nn
  functional = nn.functional
  activate = {'relu': functional.relu, 'elu': functional.elu,
              'sigmoid': torch.sigmoid, 'tanh': torch.tanh}[activation]

  class Net(nn.Module):
    def __init__(self) -> None:
      super().__init__()
      self.layers, self.norms = nn.ModuleDict(), nn.ModuleDict()
      for layer in shapes.layers(arch):
        *window, into, out = layer.kernel
        self.layers[layer.name] = (
            nn.Conv2d(into, out, window[0], padding=window[0] // 2)
            if window else nn.Linear(into, out))
        if layer.norm:
          norm = nn.BatchNorm2d if window else nn.BatchNorm1d
          self.norms[layer.name] = norm(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
      for layer in shapes.layers(arch):
        name = layer.name
        if len(layer.kernel) == 4:
          x = self.norms[name](self.layers[name](x))
          x = functional.max_pool2d(x, 2) if layer.pool else x
          x = activate(x)
        elif name == 'output':
          x = self.layers[name](x.flatten(1))
        else:
          x = self.norms[name](activate(self.layers[name](x.flatten(1))))
          x = functional.dropout(x, dropout) if dropout else x
      return x

  return Net()


def load(net: Any, variables: Any) -> None:
  """Copies Flax variables of one network (`module.Cnn`) into a PyTorch one."""
  import numpy as np
  import torch
  params, side = variables['params'], None

  def put(tensor: torch.Tensor, value: Any) -> None:
    with torch.no_grad():
      tensor.copy_(torch.from_numpy(np.array(value)))

  for name, layer in net.layers.items():
    kernel = np.asarray(params[name]['kernel'])
    if kernel.ndim == 4:
      side = kernel.shape[-1]
      kernel = kernel.transpose(3, 2, 0, 1)
    else:
      if side:  # the first: (h, w, c) rows become (c, h, w)
        rows, out = kernel.shape
        kernel = kernel.reshape(-1, side, out).swapaxes(0, 1).reshape(rows, out)
        side = None
      kernel = kernel.T
    put(layer.weight, kernel)
    put(layer.bias, np.asarray(params[name]['bias']))
  for name, norm in net.norms.items():
    put(norm.weight, np.asarray(params[f'{name}_bn']['scale']))
    put(norm.bias, np.asarray(params[f'{name}_bn']['bias']))

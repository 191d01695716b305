"""The meta-classifiers in PyTorch, initialised with our weights."""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from nws_jax.meta.classifiers import cnn, transformer


def _tensor(x: Any) -> torch.Tensor:
  return torch.tensor(np.asarray(x))


def _fill(layer: nn.Module, variables: Any) -> nn.Module:
  """A Linear, Conv1d, Embedding or LayerNorm with the weights of a Flax one."""
  with torch.no_grad():
    if 'kernel' in variables:
      kernel = np.asarray(variables['kernel'])
      layer.weight.copy_(_tensor(kernel.transpose(*range(kernel.ndim)[::-1])))
    for name in ('embedding', 'scale'):
      if name in variables:
        layer.weight.copy_(_tensor(variables[name]))
    if 'bias' in variables:
      layer.bias.copy_(_tensor(variables['bias']))
  return layer


def _linear(variables: Any) -> nn.Module:
  return _fill(nn.Linear(*np.shape(variables['kernel'])), variables)


def _norm(params: Any, stats: Any) -> nn.Module:
  norm = _fill(nn.BatchNorm1d(len(params['scale'])), params)
  norm.running_mean.copy_(_tensor(stats['mean']))
  norm.running_var.copy_(_tensor(stats['var']))
  return norm


class Fast(nn.Module):
  """`classifiers.fast.Fast`."""

  def __init__(self, variables: Any, drop: bool = True) -> None:
    super().__init__()
    knots = _tensor(variables['encoder']['knots'])
    self.register_buffer('low', knots[None, :-1])
    self.register_buffer('width', torch.clamp(
        knots[None, 1:] - knots[None, :-1], min=1e-9))
    params = variables['params']
    # Whole features are dropped, like channels, not single values.
    self.drop = nn.Dropout1d(0.3 * drop)
    self.layers = nn.Sequential(
        _linear(params['Dense_0']), nn.ReLU(), nn.Dropout(0.5 * drop),
        _linear(params['Dense_1']))

  def forward(self, features_BxF: torch.Tensor) -> torch.Tensor:
    x_BxQxF = (features_BxF[:, None] - self.low) / self.width
    x_BxQxF = torch.nan_to_num(2 * torch.clamp(x_BxQxF, 0, 1) - 1, nan=0.0)
    if self.training and self.drop.p:
      keep_Bx1xF = self.drop(torch.ones_like(features_BxF)[..., None])
      x_BxQxF = x_BxQxF * keep_Bx1xF.transpose(1, 2)
    return self.layers(x_BxQxF.flatten(1))


class Cnn(nn.Module):
  """`classifiers.cnn.Cnn`, in the layout of PyTorch: [B, C, L]."""

  def __init__(self, variables: Any, length: int, drop: bool = True) -> None:
    super().__init__()
    params, stats = variables['params'], variables['batch_stats']
    layers, into, convs, denses = [], 1, 0, 0
    for channels in cnn.plan_cnn(length):
      if not channels:
        layers.append(nn.MaxPool1d(2))
        continue
      layers += [
          _fill(nn.Conv1d(into, channels, 5, padding=2),
                params[f'_Conv_{convs}']),
          nn.ReLU(), _norm(params[f'BatchNorm_{convs}'],
                           stats[f'BatchNorm_{convs}'])]
      into, convs = channels, convs + 1
    self.convolutions, layers = nn.Sequential(*layers), []
    for n in range(convs, len(stats)):
      layers += [_linear(params[f'Dense_{denses}']), nn.ReLU(),
                 _norm(params[f'BatchNorm_{n}'], stats[f'BatchNorm_{n}']),
                 nn.Dropout(0.5 * drop)]
      denses += 1
    self.head = nn.Sequential(*layers, _linear(params[f'Dense_{denses}']))

  def forward(self, windows_BxL: torch.Tensor) -> torch.Tensor:
    x_BxCxL = self.convolutions(windows_BxL[:, None])
    return self.head(x_BxCxL.transpose(1, 2).flatten(1))


class _Attention(nn.Module):
  def __init__(self, params: Any) -> None:
    super().__init__()
    width = transformer.WIDTH
    for name in ('query', 'key', 'value'):
      flat = {'kernel': np.reshape(params[name]['kernel'], (width, -1)),
              'bias': np.ravel(params[name]['bias'])}
      setattr(self, name, _linear(flat))
    self.out = _linear({
        'kernel': np.reshape(params['out']['kernel'], (-1, width)),
        'bias': params['out']['bias']})
    self.heads = np.shape(params['query']['kernel'])[1]

  def forward(self, x_BxTxW: torch.Tensor, some_BxT: torch.Tensor
              ) -> torch.Tensor:
    q, k, v = (layer(x_BxTxW).unflatten(-1, (self.heads, -1)).transpose(1, 2)
               for layer in (self.query, self.key, self.value))
    y = functional.scaled_dot_product_attention(
        q, k, v, attn_mask=some_BxT[:, None, None])
    return self.out(y.transpose(1, 2).flatten(2))


class Transformer(nn.Module):
  """`classifiers.transformer.Transformer`."""

  def __init__(self, variables: Any, drop: bool = True) -> None:
    super().__init__()
    params = variables['params']
    center, scale = variables['encoder']['scale']
    self.register_buffer('center', _tensor(center))
    self.register_buffer('scale', _tensor(scale))
    self.shaped, self.facts, self.place = (
        _linear(params[f'Dense_{n}']) for n in range(3))
    part = params['Embed_0']
    self.part = _fill(nn.Embedding(*np.shape(part['embedding'])), part)
    blocks = range(transformer.BLOCKS)
    self.norms = nn.ModuleList(
        _fill(nn.LayerNorm(transformer.WIDTH, eps=1e-6),
              params[f'LayerNorm_{n}']) for n in range(2 * len(blocks) + 1))
    self.attend = nn.ModuleList(
        _Attention(params[f'MultiHeadDotProductAttention_{n}'])
        for n in blocks)
    self.up, self.down = (nn.ModuleList(
        _linear(params[f'Dense_{3 + 2 * n + i}']) for n in blocks)
                          for i in (0, 1))
    self.last = _linear(params[f'Dense_{3 + 2 * len(blocks)}'])
    self.drop, self.drop_more = nn.Dropout(0.2 * drop), nn.Dropout(0.5 * drop)

  def forward(self, values: torch.Tensor, mask: torch.Tensor,
              part: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    some_BxT = mask.any(-1)
    x = self.drop(self._embed(values, mask, part, place, some_BxT))
    for n, attend in enumerate(self.attend):
      x = x + self.drop(attend(self.norms[2 * n](x), some_BxT))
      y = functional.gelu(self.up[n](self.norms[2 * n + 1](x)),
                          approximate='tanh')
      x = x + self.drop(self.down[n](y))
    there = some_BxT[..., None].float()
    x = (self.norms[-1](x) * there).sum(1) / there.sum(1).clamp(min=1)
    return self.last(self.drop_more(x))

  def _embed(self, values: torch.Tensor, mask: torch.Tensor,
             part: torch.Tensor, place: torch.Tensor, some_BxT: torch.Tensor
             ) -> torch.Tensor:
    tiny = 1e-12
    number = mask.sum(-1, keepdim=True).clamp(min=1)
    mean = values.sum(-1, keepdim=True) / number
    deviation = torch.sqrt((torch.where(mask, values - mean, 0)**2).sum(
        -1, keepdim=True) / number)
    size = torch.sqrt((values**2).sum(-1, keepdim=True) / number) + tiny
    shaped = values / size
    facts = torch.cat([
        torch.log(size), torch.log(deviation + tiny), mean / size,
        shaped.abs().sum(-1, keepdim=True) / number,
        (shaped**3).sum(-1, keepdim=True) / number,
        torch.log((shaped**4).sum(-1, keepdim=True) / number + tiny),
        shaped.amax(-1, keepdim=True), shaped.amin(-1, keepdim=True),
        number / values.shape[-1]], -1)
    facts = torch.clamp((facts - self.center[part]) / self.scale[part], -5, 5)
    waves = place[..., None] * (
        torch.pi * 2.0**torch.arange(self.place.in_features // 2))
    return (self.shaped(shaped) + self.facts(facts) + self.part(part)
            + self.place(torch.cat([waves.sin(), waves.cos()], -1)))

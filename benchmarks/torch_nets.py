"""The contestants of `train` in PyTorch, on a GPU if one is available."""

import contextlib
import copy
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.nn import functional

from benchmarks import nets
from benchmarks.contest import Contestant
from nws_jax import published
from nws_jax.zoo import augment as recipe
from nws_jax.zoo import images

RATE, STEPS = 1e-3, 6  # STEPS per turn, of each of two networks
GPU = torch.cuda.is_available()
if GPU:
  torch.set_default_device('cuda')


def allow(precision: str) -> None:
  """Sets the precision of matrix products: 'float32', 'tf32' or 'bfloat16'."""
  torch.backends.cudnn.allow_tf32 = precision != 'float32'
  torch.set_float32_matmul_precision(
      'highest' if precision == 'float32' else 'high')
  global _cast
  _cast = functools.partial(
      torch.autocast, 'cuda' if GPU else 'cpu', torch.bfloat16,
      enabled=precision == 'bfloat16')


_cast: Callable[[], AbstractContextManager] = contextlib.nullcontext


def measure_loss(arch: published.Architecture, batch_size: int,
                 image_set: images.ImageSet, variables: Any) -> float:
  """The loss on the first images, without dropout."""
  net = nets.module(arch, dropout=0.0)
  nets.load(net, variables)
  x, labels = _load(image_set)
  return functional.cross_entropy(
      net(x[:batch_size].float() / 255), labels[:batch_size]).item()


def eager(arch: published.Architecture, batch_size: int,
          image_set: images.ImageSet, augmentation: bool,
          compile: bool = False) -> Contestant:
  """The eager loop: one network after another, step by step."""
  x, labels = _load(image_set)
  made = [nets.module(arch) for _ in range(2)]
  tx = [torch.optim.Adam(net.parameters(), RATE, fused=True) for net in made]
  prepare = augment if augmentation else scale

  def loss(net: Any, pixels: torch.Tensor, labels: torch.Tensor
           ) -> torch.Tensor:
    with _cast():
      return functional.cross_entropy(net(prepare(pixels)), labels)

  losses = [torch.compile(loss) if compile else loss for _ in made]

  def run() -> None:
    for net, optimizer, measure in zip(made, tx, losses):
      order = torch.randperm(len(x))
      for n in range(STEPS):
        index = order[n * batch_size:(n + 1) * batch_size]
        value = measure(net, x[index], labels[index])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    _wait()

  return Contestant(run, len(made) * STEPS * batch_size)


def vmapped(arch: published.Architecture, batch_size: int,
            image_set: images.ImageSet, networks: int = 4) -> Contestant:
  """One step of all networks at once: `torch.func` over stacked modules."""
  x, labels = _load(image_set)
  net = torch.func.replace_all_batch_norm_modules_(  # vmap cannot update these
      nets.module(arch))
  made = [copy.deepcopy(net) for _ in range(networks)]
  params, buffers = torch.func.stack_module_state(made)
  params = {n: p.detach() for n, p in params.items()}
  base = net.to('meta')
  m, s = ({n: torch.zeros_like(p) for n, p in params.items()}
          for _ in range(2))

  def loss(params: dict, buffers: dict, pixels: torch.Tensor,
           labels: torch.Tensor) -> torch.Tensor:
    with _cast():
      logits = torch.func.functional_call(base, (params, buffers), (pixels,))
      return functional.cross_entropy(logits, labels)

  gradient = torch.func.vmap(torch.func.grad(loss), randomness='different')

  def run() -> None:
    index = torch.stack([torch.randperm(len(x))[:batch_size]
                         for _ in range(networks)])
    grads = gradient(params, buffers, scale(x[index]), labels[index])
    for n, g in grads.items():
      m[n].mul_(0.9).add_(g, alpha=0.1)
      s[n].mul_(0.999).addcmul_(g, g, value=0.001)
      params[n].addcdiv_(m[n], s[n].sqrt().add_(1e-8), value=-RATE)
    _wait()

  return Contestant(run, networks * batch_size)


def _load(image_set: images.ImageSet) -> tuple[torch.Tensor, torch.Tensor]:
  device = torch.get_default_device()
  x = torch.from_numpy(image_set.train_images).permute(0, 3, 1, 2)
  return (x.contiguous().to(device),
          torch.from_numpy(image_set.train_labels).long().to(device))


def _wait() -> None:
  if GPU:
    torch.cuda.synchronize()


def scale(pixels: torch.Tensor) -> torch.Tensor:
  """Scales uint8 pixels to [0, 1]."""
  return pixels.float() / 255


def augment(pixels: torch.Tensor) -> torch.Tensor:
  """Augments uint8 [B, 3, 32, 32] as in docs/recipe.md, section 9."""
  b, size = len(pixels), images.SIDE
  centre = size // 2  # as published
  draw = {d.name: d.low + (d.high - d.low) * torch.rand(b)
          for d in recipe._IMAGE}
  colour = {d.name: d.low + (d.high - d.low) * torch.rand(())
            for d in recipe._BATCH}
  r, hx, hy = (torch.deg2rad(draw[n])[:, None, None] for n in ('r', 'hx', 'hy'))
  tx, ty, z = (draw[n][:, None, None] for n in ('tx', 'ty', 'z'))
  at = torch.arange(size) - centre
  x, y = at[None, None, :] + tx, at[None, :, None] + ty
  u = centre + z / torch.cos(hx) * (
      torch.cos(hx - r) * x + torch.sin(hx - r) * y)
  v = centre + z / torch.cos(hy) * (
      torch.sin(hy + r) * x + torch.cos(hy + r) * y)
  grid = torch.stack([u, v], -1) * 2 / size + 1 / size - 1
  x = functional.grid_sample(scale(pixels), grid, align_corners=False)
  mean = x.mean((2, 3), keepdim=True)
  x = (x - mean) * colour['contrast'] + mean + colour['brightness']
  x = _saturate(_turn_hue(x, colour['hue']), colour['saturation'])
  return (x + colour['noise'] * torch.randn_like(x)).clamp_(0, 1)


def _turn_hue(x: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
  r, g, b = x.unbind(1)
  high, low = x.amax(1), x.amin(1)
  spread = high - low
  safe = torch.where(spread > 0, spread, 1)
  sixth = torch.where(high == r, (g - b) / safe, torch.where(
      high == g, 2 + (b - r) / safe, 4 + (r - g) / safe)) + 6 * delta
  k = (torch.tensor([5., 3, 1])[:, None, None] + sixth[:, None]) % 6
  return high[:, None] - spread[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


def _saturate(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
  high, low = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
  s = torch.where(high > 0, (high - low) / torch.where(high > 0, high, 1), 0)
  ratio = torch.where(
      s > 0, (s * factor).clamp(0, 1) / torch.where(s > 0, s, 1), 0)
  return high - (high - x) * ratio

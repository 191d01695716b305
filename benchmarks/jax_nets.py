"""The contestants of `train` in JAX."""

import concurrent.futures
import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec

from benchmarks.contest import Contestant
from nws_jax import published, space
from nws_jax.zoo import augment, dataset, images, population, price, train
from nws_jax.zoo.families import cnn as families_cnn
from nws_jax.zoo.families import interface
from nws_jax.zoo.families.cnn import conv, module, shapes
from nws_jax.zoo.families.cnn import network as cnn

RATE = 1e-3
Case = TypeVar('Case')
Made = TypeVar('Made')


def start(arch: published.Architecture, networks: int, batch_size: int,
          augmentation: bool = False
          ) -> tuple[Any, train.Static, train.Network]:
  """(Flax variables of the first network, `train.Static`, `train.Network`s)."""
  static = train.Static(
      arch, batch_size, 1.0, 'running', False, train.EVAL_BATCH, 0,
      space.ACTIVATION.choices, 'float32', conv.FORMS['map'],
      (augmentation,))
  n: Any = np.arange(networks, dtype=np.int32)
  same: Callable[..., Any] = functools.partial(np.full, networks)
  made = train.Network(
      id=n, dataset=0 * n, learning_rate=same(np.float32(RATE)),
      weight_decay=same(np.float32(0)),
      augmentation=same(augmentation), optimizer=0 * n, active=same(True),
      own=families_cnn.Settings(0 * n, same(np.float32(0.5)), 0 * n + 2))
  vector = train.init(static, jax.random.key(0), jax.tree.map(
      lambda x: jnp.asarray(x[0]), made)).vector_P
  return shapes.layout(arch).to_variables(vector), static, made


def measure_losses(arch: published.Architecture, batch_size: int,
                   image_set: images.ImageSet) -> dict[str, float]:
  """{contestant: loss} on the first images, without dropout."""
  variables, static, _ = start(arch, 1, batch_size)
  x = image_set.train_images[:batch_size]
  labels = image_set.train_labels[:batch_size]

  def mean(logits: jax.Array) -> float:
    return float(optax.softmax_cross_entropy_with_integer_labels(
        logits, labels).mean())

  def ours(form: str) -> float:
    parts = shapes.layout(arch).split(shapes.layout(arch).to_vector(variables))
    style = cnn.Style(jnp.int32(0), jnp.float32(0))
    return mean(jax.jit(lambda parts: cnn.apply(
        parts, augment.scale(jnp.asarray(x)), style, arch, interface.Mode(
            ('relu',), conv.FORMS[form], batch_statistics=True))[0])(parts))

  logits, _ = jax.jit(lambda variables: module.Cnn(arch, 'relu', 0.0).apply(
      variables, x / np.float32(255), train=True, mutable=['batch_stats'],
      rngs={'dropout': jax.random.key(0)}))(variables)
  ways = {'ours': mapped()} | ({'vmapped': 'vmap'} if mapped() == 'map' else {})
  return {who: ours(form) for who, form in ways.items()} | {
      'Flax': mean(logits)}


def mapped() -> str:
  """How networks are mapped on this device: 'map' or 'vmap'."""
  return price.choose_form(jax.default_backend())


def compile_all(make: Callable[[Case], Made],
                cases: Iterable[Case]) -> list[Made]:
  """[make(case)], in parallel on an accelerator, for which compiling takes long
  and leaves cores free."""
  if mapped() == 'map':
    return list(map(make, cases))
  with concurrent.futures.ThreadPoolExecutor() as pool:
    return list(pool.map(make, cases))


def count_networks(batch_size: int) -> int:
  """The number of networks that fills an accelerator."""
  return price.IMAGES_A_STEP // batch_size * len(jax.devices())


def ours(arch: published.Architecture, batch_size: int,
         image_set: images.ImageSet, augmentation: bool,
         form: str | None = None, networks: int = 0,
         precision: str = 'float32', **changes: Any) -> Contestant:
  """Whole epochs; one network per core, or as many as fill an accelerator.

  Args:
    arch: of all networks.
    batch_size: images per update.
    image_set: what to train on.
    augmentation: whether to train with it.
    form: how networks are mapped; None: the form for this device.
    networks: how many train at once; 0: one per core, or as many as fill an
      accelerator.
    precision: of matrix products.
    **changes: new values of fields of `conv.Form`.
  """
  form = form or mapped()
  stage = population.set_stage(dataset.pack([image_set], 1), 0, form)
  networks = networks or (len(stage.mesh.devices) if form == 'map'
                          else count_networks(batch_size))
  _, static, made = start(arch, networks, batch_size, augmentation)
  static = static._replace(form=conv.find_form(
      form, 'auto', precision)._replace(**changes))
  made = stage.place(made)
  shares = PartitionSpec(population.AXIS)

  def over(key: jax.Array, networks: train.Network, state: train.State,
             data: dataset.Data) -> Any:
    return population.over(lambda n, s: train.train_epoch(
        train.Task(static, stage.longest, key, n, data), s, jnp.int32(1)),
                           form)(networks, state)

  mapped_over = jax.jit(jax.shard_map(
      over, mesh=stage.mesh, in_specs=(PartitionSpec(), shares, shares,
                                       PartitionSpec()),
      out_specs=shares, check_vma=False))
  state = stage.place(jax.jit(jax.vmap(
      lambda n: train.init(static, stage.seed_key, n)))(made))
  run = mapped_over.lower(
      stage.seed_key, made, state, stage.data).compile()
  steps = dataset.count_steps(
      images.an_epoch(image_set) // space.NUM_CLASSES, batch_size)
  count, memory = run.cost_analysis() or {}, run.memory_analysis()
  assert memory is not None
  return Contestant(
      lambda: jax.block_until_ready(
          run(stage.seed_key, made, state, stage.data)),
      networks * steps * batch_size, {
          'networks': networks,
          'bytes_a_network': memory.temp_size_in_bytes / networks,
          'bytes_an_image': count.get('bytes accessed', 0) / (
              networks * batch_size)})


def flax(arch: published.Architecture, batch_size: int,
         image_set: images.ImageSet, networks: int = 4) -> Contestant:
  """A step of plain Flax and Optax, mapped over networks with `vmap`."""
  variables, _, _ = start(arch, 1, batch_size)
  net, tx = module.Cnn(arch, 'relu'), optax.adam(RATE)
  x, labels = image_set.train_images, image_set.train_labels

  def step(variables: Any, moments: Any, key: jax.Array) -> tuple[Any, Any]:
    order_key, drop_key = jax.random.split(key)
    index = jax.random.permutation(order_key, len(x))[:batch_size]

    def loss(params: Any) -> tuple[jax.Array, Any]:
      logits, rest = net.apply(
          {**variables, 'params': params},
          jnp.asarray(x)[index].astype(jnp.float32) / 255, train=True,
          mutable=['batch_stats'], rngs={'dropout': drop_key})
      return optax.softmax_cross_entropy_with_integer_labels(
          logits, jnp.asarray(labels)[index]).mean(), rest

    grads, rest = jax.grad(loss, has_aux=True)(variables['params'])
    updates, moments = tx.update(grads, moments)
    return {'params': optax.apply_updates(variables['params'], updates),
            **rest}, moments

  many = jax.tree.map(lambda v: jnp.stack([v] * networks), variables)
  moments = jax.vmap(tx.init)(many['params'])
  keys = jax.random.split(jax.random.key(1), networks)
  run = jax.jit(jax.vmap(step)).lower(many, moments, keys).compile()
  return Contestant(lambda: jax.block_until_ready(run(many, moments, keys)),
                    networks * batch_size)


def count_step(arch: published.Architecture, batch_size: int,
               precision: str = 'float32') -> Any:
  """XLA's `cost_analysis` of one update of one network.

  It runs all images at once: the body of a loop would be counted only once.
  """
  _, static, made = start(arch, 1, batch_size)
  static = static._replace(form=conv.find_form(
      mapped(), 'auto', precision)._replace(cache=0))
  network = jax.tree.map(lambda x: x[0], made)
  state = jax.eval_shape(functools.partial(train.init, static),
                         jax.random.key(0), network)
  data = dataset.pack([images.load('digits')], 1)  # an update reads none of it
  pixels = jax.ShapeDtypeStruct((batch_size, 32, 32, 3), jnp.uint8)
  labels = jax.ShapeDtypeStruct((batch_size,), jnp.int32)

  def step(network: train.Network, state: train.State, pixels: jax.Array,
           labels: jax.Array) -> Any:
    task = train.Task(static, data.longest, jax.random.key(0), network, data)
    return train.update(task, state, pixels, labels, jnp.float32(RATE), None)

  return jax.jit(step).lower(
      network, state, pixels, labels).compile().cost_analysis()

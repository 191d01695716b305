"""The contestants of `train` in JAX."""

import concurrent.futures
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec

from benchmarks.contest import Contestant
from nws_jax import space
from nws_jax.zoo import (
  augment,
  cnn,
  conv,
  dataset,
  images,
  module,
  population,
  price,
  train,
)
from nws_jax.zoo.families.cnn import shapes

RATE = 1e-3


def start(arch, networks, batch_size, augmentation=False):
  """(Flax variables of the first network, `train.Static`, `train.Network`s)."""
  static = train.Static(
      arch, batch_size, 1.0, 'running', False, train.EVAL_BATCH, 0,
      space.BY_NAME['activation'].choices, 'float32', conv.FORMS['map'],
      (augmentation,))
  n = np.arange(networks, dtype=np.int32)
  same = functools.partial(np.full, networks)
  made = train.Network(
      id=n, dataset=0 * n, learning_rate=same(np.float32(RATE)),
      weight_decay=same(np.float32(0)), dropout=same(np.float32(0.5)),
      augmentation=same(augmentation), optimizer=0 * n, activation=0 * n,
      initialization=0 * n + 2, active=same(True), sizes=None)
  vector = train.init(static, jax.random.key(0), jax.tree.map(
      lambda x: jnp.asarray(x[0]), made)).vector_P
  return shapes.layout(arch).to_variables(vector), static, made


def measure_losses(arch, batch_size, image_set):
  """{contestant: loss} on the first images, without dropout."""
  variables, static, _ = start(arch, 1, batch_size)
  x = image_set.train_images[:batch_size]
  labels = image_set.train_labels[:batch_size]

  def mean(logits):
    return float(optax.softmax_cross_entropy_with_integer_labels(
        logits, labels).mean())

  def ours(form):
    parts = shapes.layout(arch).split(shapes.layout(arch).to_vector(variables))
    return mean(jax.jit(lambda parts: cnn.apply(
        parts, augment.scale(x), cnn.Style(0, 0.0), arch, ('relu',),
        batch_statistics=True, form=conv.FORMS[form])[0])(parts))

  logits, _ = jax.jit(lambda variables: module.Cnn(arch, 'relu', 0.0).apply(
      variables, x / np.float32(255), train=True, mutable=['batch_stats'],
      rngs={'dropout': jax.random.key(0)}))(variables)
  ways = {'ours': mapped()} | ({'vmapped': 'vmap'} if mapped() == 'map' else {})
  return {who: ours(form) for who, form in ways.items()} | {
      'Flax': mean(logits)}


def mapped():
  """How networks are mapped on this device: 'map' or 'vmap'."""
  return price.choose_form(jax.default_backend())


def compile_all(make, cases):
  """[make(case)], in parallel on an accelerator, for which compiling takes long
  and leaves cores free."""
  if mapped() == 'map':
    return list(map(make, cases))
  with concurrent.futures.ThreadPoolExecutor() as pool:
    return list(pool.map(make, cases))


def count_networks(batch_size):
  """The number of networks that fills an accelerator."""
  return price.IMAGES_A_STEP // batch_size * len(jax.devices())


def ours(arch, batch_size, image_set, augmentation, form=None, networks=0,
         precision='float32', **changes):
  """Whole epochs; one network per core, or as many as fill an accelerator.

  Args:
    arch, batch_size, image_set, augmentation: what is trained on what.
    form: how networks are mapped, if not as on this device.
    networks: at once.
    precision: of the dots.
    **changes: fields of `conv.Form` that are to be others.
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

  def over(key, networks, state, data):
    return population.over(lambda n, s: train.train_epoch(
        static, stage.longest, key, n, s, data, jnp.int32(1)), form)(
            networks, state)

  run = jax.jit(jax.shard_map(
      over, mesh=stage.mesh, in_specs=(PartitionSpec(), shares, shares,
                                       PartitionSpec()),
      out_specs=shares, check_vma=False))
  state = stage.place(jax.jit(jax.vmap(
      lambda n: train.init(static, stage.seed_key, n)))(made))
  run = run.lower(stage.seed_key, made, state, stage.data).compile()
  steps = dataset.count_steps(
      images.an_epoch(image_set) // space.NUM_CLASSES, batch_size)
  count, memory = run.cost_analysis(), run.memory_analysis()
  return Contestant(
      lambda: jax.block_until_ready(
          run(stage.seed_key, made, state, stage.data)),
      networks * steps * batch_size, {
          'networks': networks,
          'bytes_a_network': memory.temp_size_in_bytes / networks,
          'bytes_an_image': count.get('bytes accessed', 0) / (
              networks * batch_size)})


def flax(arch, batch_size, image_set, networks=4):
  """A step of plain Flax and Optax, mapped over networks with `vmap`."""
  variables, _, _ = start(arch, 1, batch_size)
  net, tx = module.Cnn(arch, 'relu'), optax.adam(RATE)
  x, labels = image_set.train_images, image_set.train_labels

  def step(variables, moments, key):
    order_key, drop_key = jax.random.split(key)
    index = jax.random.permutation(order_key, len(x))[:batch_size]

    def loss(params):
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


def count_step(arch, batch_size, precision='float32'):
  """XLA's `cost_analysis` of one update of one network.

  It runs all images at once: the body of a loop would be counted only once.
  """
  _, static, made = start(arch, 1, batch_size)
  static = static._replace(form=conv.find_form(
      mapped(), 'auto', precision)._replace(cache=0))
  network = jax.tree.map(lambda x: x[0], made)
  state = jax.eval_shape(functools.partial(train.init, static),
                         jax.random.key(0), network)
  pixels = jax.ShapeDtypeStruct((batch_size, 32, 32, 3), jnp.uint8)
  labels = jax.ShapeDtypeStruct((batch_size,), jnp.int32)

  def step(network, state, pixels, labels):
    return train.update(static, jax.random.key(0), network, state, pixels,
                        labels, jnp.float32(RATE), None)

  return jax.jit(step).lower(
      network, state, pixels, labels).compile().cost_analysis()

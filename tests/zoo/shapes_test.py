import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from nws_jax import published
from nws_jax.zoo.families import interface
from nws_jax.zoo.families.cnn import shapes

FIXED = published.Architecture(
    filter_size=5, depth_conv=3, depth_fc=2, width_conv=8, width_fc=128)

# docs/recipe.md, section 11, by hand: where kernel, bias, offset, scale, mean
# and variance start, and where the layer ends.
OFFSETS = {
    'conv1_1': (0, 600, 608, 616, 624, 632, 640),
    'conv2_1': (640, 3840, 3856, 3872, 3888, 3904, 3920),
    'conv3_1': (3920, 16720, 16752, 16784, 16816, 16848, 16880),
    'fc1': (16880, 82416, 82544, 82672, 82800, 82928, 83056),
    'fc2': (83056, 91248, 91312, 91376, 91440, 91504, 91568),
    'output': (91568, 92848, 92868),
}
TENSORS = ('kernel', 'bias', 'offset', 'scale', 'mean', 'variance')

architectures = st.builds(
    published.Architecture, filter_size=st.sampled_from((1, 3, 5)),
    depth_conv=st.integers(3, 5), depth_fc=st.integers(1, 4),
    width_conv=st.integers(1, 5), width_fc=st.sampled_from((8, 17, 64)),
    batch_norm=st.booleans())


def test_offsets_are_those_of_the_recipe():
  found = {}
  for s in shapes.layout(FIXED).spans:
    assert s.tensor == TENSORS[len(found.get(s.layer, ()))]
    found.setdefault(s.layer, []).append(s.start)
  for layer, starts in OFFSETS.items():
    assert tuple(found[layer]) == starts[:-1]
  assert [s.start for s in shapes.layout(FIXED).spans][1:] == [
      s.stop for s in shapes.layout(FIXED).spans][:-1]
  assert shapes.layout(FIXED).num_weights_conv == 16880
  assert shapes.layout(FIXED).running.sum() == 496


@pytest.mark.parametrize('shape, length', [
    ((5, 3, 2, 8, 128), 92868), ((3, 3, 2, 4, 64), 21260),
    ((7, 5, 4, 12, 192), 388172)])
def test_lengths_are_those_of_the_recipe(shape, length):
  assert shapes.layout(published.Architecture(*shape)).num_weights == length


def test_values_of_the_vector_are_those_flax_means():
  """Every tensor against its own transpose, written out once more."""
  arch = published.Architecture(3, 4, 2, 4, 16)
  vector_P = np.arange(shapes.layout(arch).num_weights, dtype=np.float32)
  variables = shapes.layout(arch).to_variables(vector_P)
  params, stats = variables['params'], variables['batch_stats']
  assert list(params) == [
      'conv1_1', 'conv1_1_bn', 'conv2_1', 'conv2_1_bn', 'conv3_1',
      'conv3_1_bn', 'conv3_2', 'conv3_2_bn', 'fc1', 'fc1_bn', 'fc2', 'fc2_bn',
      'output']
  flat = []
  for layer in [x for x in params if not x.endswith('_bn')]:
    kernel = params[layer]['kernel']
    if layer.startswith('conv'):
      assert kernel.shape[:2] == (3, 3)
      flat.append(kernel.transpose(3, 2, 0, 1).ravel())  # HWIO -> OIHW
    else:
      flat.append(kernel.T.ravel())
    flat.append(params[layer]['bias'])
    if layer != 'output':
      flat += [params[layer + '_bn']['bias'], params[layer + '_bn']['scale'],
               stats[layer + '_bn']['mean'], stats[layer + '_bn']['var']]
  np.testing.assert_array_equal(np.concatenate(flat), vector_P)
  assert params['conv3_2']['kernel'].shape == (3, 3, 16, 16)
  assert params['fc1']['kernel'].shape == (64 * 4, 16)
  assert params['output']['kernel'].shape == (8, 20)


leading_axes = st.sampled_from([(), (0,), (2,), (2, 3)])


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(arch=architectures, lead=leading_axes)
def test_vector_and_variables_are_inverse(arch, lead):
  check_inverse(arch, lead, np.asarray, lambda f: f)


@hypothesis.settings(max_examples=3, deadline=None)  # each one compiles
@hypothesis.given(arch=architectures, lead=leading_axes)
def test_vector_and_variables_are_inverse_in_jax(arch, lead):
  check_inverse(arch, lead, jnp.asarray, jax.jit)


def check_inverse(arch, lead, convert, wrap):
  num_weights = shapes.layout(arch).num_weights
  size = int(np.prod(lead)) * num_weights
  values = convert(
      np.arange(size, dtype=np.float32).reshape(*lead, num_weights))
  variables = wrap(lambda v: shapes.layout(arch).to_variables(v))(values)
  again = wrap(lambda v: shapes.layout(arch).to_vector(v))(variables)
  assert type(again) is type(values)
  np.testing.assert_array_equal(again, values)
  layout = shapes.layout(arch)
  again = wrap(lambda v: layout.join(layout.split(v)))(values)
  assert type(again) is type(values)
  np.testing.assert_array_equal(again, values)
  assert bool(variables['batch_stats']) == arch.batch_norm


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(arch=architectures)
def test_leading_axes_are_those_of_the_parts(arch):
  rng = np.random.default_rng(arch.width_fc)
  values_MxP = rng.normal(size=(3, shapes.layout(arch).num_weights))
  stacked = shapes.layout(arch).to_variables(values_MxP)
  for m, values_P in enumerate(values_MxP):
    single = shapes.layout(arch).to_variables(values_P)
    for s in shapes.layout(arch).spans:
      collection, module, name = s.leaf
      leaf = single[collection][module][name]
      assert leaf.shape == s.shape
      np.testing.assert_array_equal(stacked[collection][module][name][m], leaf)
      np.testing.assert_array_equal(
          s.flatten(leaf), values_P[s.start:s.stop])


def test_split_shows_tensors_in_the_vectors_own_order():
  parts = shapes.layout(FIXED).split(np.arange(92868))
  assert parts['conv2_1']['kernel'].shape == (16, 8, 5, 5)
  assert parts['conv2_1']['kernel'][3, 2, 1, 4] == (
      640 + ((3 * 8 + 2) * 5 + 1) * 5 + 4)
  assert parts['fc1']['kernel'].shape == (128, 512)
  assert parts['fc1']['kernel'][7, 11] == 16880 + 7 * 512 + 11


def test_running_mask_is_mean_and_variance():
  mask_P = shapes.layout(FIXED).running
  for starts in list(OFFSETS.values())[:-1]:
    assert mask_P[starts[4]:starts[6]].all()
    assert not mask_P[starts[0]:starts[4]].any()
  assert not mask_P[91568:].any()


ENVELOPE = interface.envelop([
    published.Architecture(3, 4, 1, 3, 16),
    published.Architecture(7, 4, 2, 2, 8),
    published.Architecture(1, 4, 4, 1, 32)])


def test_an_envelope_has_the_largest_of_every_layer():
  kernels = {layer.name: layer.kernel for layer in shapes.layers(ENVELOPE)}
  assert kernels == {
      'conv1_1': (7, 7, 3, 3), 'conv2_1': (7, 7, 3, 6),
      'conv3_1': (7, 7, 6, 12), 'conv3_2': (7, 7, 12, 12),
      'fc1': (192, 32), 'fc2': (32, 16), 'fc3': (16, 8), 'fc4': (8, 4),
      'output': (16, 20)}  # the input of the first one's output is fc1


def test_an_envelope_of_one_is_that_one():
  assert interface.envelop([FIXED, FIXED]) == FIXED
  np.testing.assert_array_equal(
      shapes.places(FIXED, FIXED),
      np.arange(shapes.layout(FIXED).num_weights))


@pytest.mark.parametrize('arch', ENVELOPE.members, ids=lambda a: a.name)
def test_places_are_those_of_the_same_coordinates(arch):
  """Every value of the envelope is named by its layer and coordinates."""
  def name(arch):
    channels = {layer.name: layer.kernel[2] for layer in shapes.layers(arch)
                if len(layer.kernel) == 4}
    for s in shapes.layout(arch).spans:
      for at in np.ndindex(s.vector_shape):
        o, i, y, x = (*at, 0, 0, 0)[:4]
        k = s.vector_shape[-1] // 2 if len(at) == 4 else 0
        if s.layer == 'fc1' and len(at) == 2:
          last = shapes.layers(arch)[len(channels) - 1].kernel[-1]
          i = divmod(i, last)
        yield s.layer, s.tensor, o, i, y - k, x - k
  whole = {n: p for p, n in enumerate(name(ENVELOPE))}
  want = [whole[n] for n in name(arch)]
  assert shapes.places(arch, ENVELOPE).tolist() == want
  assert len(set(want)) == len(want) < len(whole)

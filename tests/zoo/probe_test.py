"""Widths by measurement; run on CPU, in the form of accelerators."""

import pytest

from configs import zoo as presets
from nws_jax import published
from nws_jax.zoo import opening, plan, price, probe, recipe, runtime

TINY = {'width_conv': (1,), 'width_fc': (8,), 'networks': 6, 'epochs': 1,
        'datasets': ('digits',), 'batch_size': (16,)}


def make_recipe(**changes):
  config = presets.get_config('smoke')
  config.unlock()
  config.update({**TINY, **changes})
  return recipe.from_config(config)


@pytest.mark.parametrize('rates, knee', [
    ({1: 100, 2: 190, 4: 300, 8: 305, 16: 310}, 4), ({2: 5.0}, 2), ({}, 2),
    ({2: 100, 4: 60}, 2)])
def test_the_knee_is_the_narrowest_that_is_nearly_best(rates, knee):
  assert probe.find_knee(rates, 2) == knee


def test_widths_are_tried_up_to_what_memory_and_the_population_hold():
  arch = published.Architecture(3, 3, 2, 4, 64)
  slot = price.count_bytes(arch, 64, 'gpu')
  machine = price.Machine('gpu', 1, 300 * slot, 1e9)
  assert probe.list_widths(machine, arch, 64, 9999) == [64, 128, 256, 300]
  assert probe.list_widths(machine, arch, 64, 100) == [64, 100]
  assert probe.list_widths(machine, arch, 64, 50) == [50]
  assert probe.list_widths(
      machine._replace(devices=8), arch, 64, 100) == [64, 96]


@pytest.mark.soak  # two programs are compiled
def test_widths_are_measured_by_training(monkeypatch):
  monkeypatch.setattr(probe, '_IMAGES', (32, 64))
  asked = make_recipe()
  rows = recipe.rows(asked)
  machine = price.Machine('cpu', 2, 1e9, 1e9)
  images, rates = probe.measure(asked, rows, machine)
  assert set(rates) == {2, 4} and all(rate > 0 for rate in rates.values())
  assert images == 16 * probe.find_knee(rates, 2)
  monkeypatch.setattr(probe, '_IMAGES', (32,))
  assert probe.measure(asked, rows, machine) == (machine.images_a_step, {})


@pytest.mark.parametrize('width, measured, calls', [
    ('auto', True, 1), ('auto', False, 0), ('3', True, 0)])
def test_what_was_measured_is_in_the_plan_and_is_not_measured_again(
    tmp_path, monkeypatch, width, measured, calls):
  asked, called = make_recipe(networks_per_program=width), []
  rows = recipe.rows(asked)

  def measure(*args):
    called.append(args)
    return probe.Throughput(32, {})

  monkeypatch.setattr(runtime, 'start', lambda devices=None: ('gpu', 1))
  monkeypatch.setattr(probe, 'measure', measure)
  made, _ = opening.make_plan(tmp_path, asked, rows, {'digits': 64}, measured)
  assert len(called) == calls
  assert {u.width for u in made.units} == {
      2 if calls else 3 if width == '3' else 6}
  plan.write(str(tmp_path / 'plan.json'), made)
  more = make_recipe(networks_per_program=width, networks=9)
  grown, machine = opening.make_plan(
      tmp_path, more, recipe.rows(more), {'digits': 64}, measured)
  assert len(called) == calls and grown.images_a_step == made.images_a_step
  assert grown.units[:len(made.units)] == made.units
  if calls:
    assert machine.images_a_step == 32
    assert {u.width for u in grown.units} <= {1, 2}

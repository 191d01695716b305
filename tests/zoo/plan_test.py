import collections

import pytest

from nws_jax import published, space
from nws_jax.zoo import merging, plan, price
from nws_jax.zoo.families import interface

MAIN = {p.name: p.choices for p in published.PROPERTIES} | {
    'weight_decay': (0.0,), 'dropout': (0.5,)}
WORK = price.Work(40_000, 40)


def make_rows(count, **changes):
  choices = MAIN | changes
  return [{'id': id, **row} for id, row in enumerate(
      space.sample(published.ALL, 3, range(count), choices))]


def machine(platform='cpu', devices=2, memory=8e9, disk=1e12):
  return price.Machine(platform, devices, memory, disk)


@pytest.mark.parametrize('platform, devices, width, merge', [
    ('cpu', 1, 0, True), ('cpu', 2, 7, False), ('gpu', 1, 0, True),
    ('gpu', 3, 1000, True)])
def test_a_plan_holds_every_network_once(
    tmp_path, platform, devices, width, merge):
  rows = make_rows(300)
  made = plan.make(rows, machine(platform, devices), WORK,
                   plan.Options(width, merge))
  assert sorted(i for u in made.units for i in u.ids) == list(range(300))
  assert len({u.name for u in made.units}) == len(made.units)
  for u in made.units:
    assert list(u.ids) == sorted(u.ids)
    assert u.width % devices == 0 and u.width >= min(width, 1)
    assert {plan.group(rows[i]) for i in u.ids} <= {
        (a, u.batch_size) for a in u.archs}
    assert merge or len(u.archs) == 1
  path = str(tmp_path / 'plan.json')
  plan.write(path, made)
  assert plan.read(path) == made


def test_a_plan_grows_by_units_of_its_own():
  rows = make_rows(120)
  some = plan.make(rows[:50], machine(), WORK)
  grown = plan.extend(some, rows, machine(), WORK)
  assert grown.units[:len(some.units)] == some.units
  assert sorted(i for u in grown.units for i in u.ids) == list(range(120))
  assert len({u.name for u in grown.units}) == len(grown.units)
  assert plan.extend(grown, rows, machine(), WORK) == grown


def test_units_of_a_label_are_numbered_without_gaps():
  same = {name: (MAIN[name][0],) for name in (
      'batch_size', 'batch_norm', 'filter_size', 'depth_conv', 'depth_fc',
      'width_conv', 'width_fc')}
  rows, some = make_rows(9, **same), plan.make([], machine(), WORK)
  for count in (4, 5, 9):  # in units of two, two, one, two and two
    some = plan.extend(some, rows[:count], machine(), WORK, plan.Options(2))
  assert [u.name.rsplit('-', 1)[1] for u in some.units] == [
      '000', '001', '002', '003', '004']
  kept = some._replace(units=some.units[1:3])  # behind the greatest one
  again = plan.extend(kept, rows, machine(), WORK, plan.Options(2))
  assert again.units[2].name.endswith('-003')


def test_few_programs_where_training_is_short_and_many_where_it_is_long():
  """972 combinations of architecture and batch size are not 972 programs."""
  rows, programs = make_rows(1300), {}
  for images in (2_000, 40_000, 1e9):
    made = plan.make(rows, machine(), price.Work(images, 3))
    programs[images] = len({(u.archs, u.batch_size) for u in made.units})
  groups = len({plan.group(row) for row in rows})
  assert 12 <= programs[2_000] < programs[40_000] < groups / 4
  assert 600 < 0.9 * groups < programs[1e9] <= groups


def test_a_merge_costs_no_more_than_its_parts():
  archs = collections.Counter(
      a for row in make_rows(900) for a, b in [plan.group(row)]
      if b == 64 and a.depth_conv == 4)
  work = price.Work(20_000, 5)
  def cost(groups):
    return sum(price.estimate_program(
        interface.envelop(g), 64, sum(archs[a] for a in g), machine(), work)
        for g in groups)
  merged = merging.merge(archs, 64, machine(), work)
  assert sorted(a for g in merged for a in g) == sorted(archs)
  assert 1 < len(merged) < len(archs)
  assert cost(merged) < cost([(a,) for a in archs])
  assert cost(merged) < cost([tuple(archs)])


def test_slots_are_filled_again_only_as_the_disk_allows():
  rows = make_rows(400, batch_size=(64,), **{
      name: (MAIN[name][0],) for name in (
          'filter_size', 'depth_conv', 'depth_fc', 'width_conv', 'width_fc')})
  work = price.Work(40_000, 40)
  def units(disk, thins):
    return plan.make(rows, machine(disk=disk), work, plan.Options(
        32, queue=4, thins=thins)).units
  assert {len(u.ids) for u in units(1e12, True)} == {100}
  assert {u.width for u in units(1e12, True)} == {32}
  assert all(len(u.ids) <= 32 for u in units(3e8, True))
  assert len(units(3e8, False)) == 4


def test_half_of_the_slots():
  made = plan.make(make_rows(600), machine(devices=2), WORK,
                   plan.Options(8))
  unit = next(u for u in made.units if u.width == 8 and any(
      v.archs == u.archs and v.batch_size == u.batch_size
      for v in made.units if v is not u))
  like = [u.name for u in made.units
          if (u.archs, u.batch_size, u.width) == (
              unit.archs, unit.batch_size, 8)]
  begun = [n for n in like if n != unit.name][:1]
  for u, old in zip(plan.halve(made, unit, begun).units, made.units):
    assert u.width == (4 if u.name in like and u.name not in begun
                       else old.width)
    assert u._replace(width=0) == old._replace(width=0)
  small = made.units[0]._replace(width=2)
  least = made._replace(units=(small,))
  assert plan.halve(least, small, []) == least


@pytest.mark.parametrize('platform', ('cpu', 'gpu'))
def test_width_follows_memory(platform):
  arch = published.Architecture(7, 5, 4, 12, 192)
  each = price.count_bytes(arch, 64, platform)
  for slots in (1, 3, 40):
    assert price.choose_width(
        machine(platform, memory=each * (slots + 0.5)), arch, 64) == slots
  assert price.choose_width(machine(platform, memory=1), arch, 64) == 1

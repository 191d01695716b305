"""Tiny zoos whose records do not agree: each command says so, nothing is lost,
and the advice it gives leads to the whole zoo."""

import dataclasses
import json
import re
import shutil

import pytest

import nws_jax
from nws_jax import checks, errors
from nws_jax.store import tables
from nws_jax.zoo import driver
from tests.zoo import damage_test
from tests.zoo.damage_test import RECIPE, Bar, change_plan, read_all, units

begun, finished = damage_test.begun, damage_test.finished
TOP = ('config.json', 'plan.json', 'checksums.json', 'members.csv',
       'metrics.csv', 'layers.csv')
OWN = ('progress.json', 'unit.json', 'members.csv', 'metrics.csv')


@pytest.fixture(scope='module')
def others(tmp_path_factory):
  """Of more networks, and of another seed, but units of the same names."""
  paths = []
  for changes in ({'networks': 6}, {'seed': 4}):
    paths.append(tmp_path_factory.mktemp('others') / 'zoo')
    driver.run(dataclasses.replace(RECIPE, epochs=1, **changes),
               str(paths[-1]), Bar())
  return paths


def snapshots(zoo):
  return {str(p.relative_to(zoo)): p.read_bytes()
          for p in (zoo / 'snapshots').rglob('*') if p.is_file()}


def digest(zoo):
  return nws_jax.open_zoo(zoo).digest


def flip(path, other, n):
  """Changes the n-th part of a file's digits."""
  text = path.read_text()
  digits = [m.start() for m in re.finditer('[0-9]', text)]
  place = digits[len(digits) * n // 4]
  path.write_text(text[:place] + str((int(text[place]) + 1) % 10)
                  + text[place + 1:])


WAYS = {
    'cut': lambda path, other: damage_test.cut(
        path, path.stat().st_size // 2),
    'emptied': lambda path, other: path.write_text(''),
    'deleted': lambda path, other: path.unlink(),
    'doubled': lambda path, other: path.write_text(path.read_text() * 2),
    'of another': lambda path, other: shutil.copy(other, path),
    **{f'flipped {n}': lambda path, other, n=n: flip(path, other, n)
       for n in range(4)}}


@pytest.mark.parametrize('name, whole', [
    (name, True) for name in TOP + tuple(
        f'{name} of {which}' for name in OWN for which in (0, 1))] + [
            ('plan.json', False), ('checksums.json', False),
            ('progress.json of 1', False), ('unit.json of 1', False)])
def test_a_damaged_record_is_named_or_made_anew(
    begun, finished, others, tmp_path, name, whole):
  name, _, which = name.partition(' of ')
  for way in WAYS if whole else ('deleted', 'flipped 1'):
    zoo = shutil.copytree(finished if whole else begun, tmp_path / way)
    own, other = units(zoo)[:: 1 - 2 * int(which or 0)]
    place = f'units/{own}/{name}' if which else name
    WAYS[way](zoo / place, others[1] / (
        f'units/{own if name == "unit.json" else other}/{name}' if which
        else name))
    kept, before = snapshots(zoo), read_all(zoo)
    try:
      driver.run(RECIPE, str(zoo), Bar())
    except (errors.Damaged, errors.Wrong) as e:
      assert (f'units/{own}' if which else name) in str(e) or (
          name == 'config.json' and 'another zoo' in str(e)), (way, str(e))
      assert snapshots(zoo) == kept and read_all(zoo) == before
    else:
      assert digest(zoo) == digest(finished), way
      checks.check_records(nws_jax.open_zoo(zoo))
    shutil.rmtree(zoo)


def follow(zoo, said):
  """Does what a message advises where there is no copy."""
  for path in re.search('delete (units/.*), (snapshots/.*) and (state/.*) and'
                        '|$', said).groups():
    if path and (zoo / path).exists():
      shutil.rmtree(zoo / path)
  if re.search('(delete|move) it', said):
    path = re.match('(/[^ ]*) is damaged', said)[1]
    shutil.move(path, zoo.parent / 'away')


@pytest.mark.parametrize('damage', (
    'a snapshot cut off', 'a bit of a state', 'a plan cut off',
    'a record cut off', 'an unknown network'))
def test_the_advice_leads_to_the_whole_zoo(begun, finished, tmp_path, damage):
  zoo = shutil.copytree(begun, tmp_path / 'zoo')
  damage_test.DAMAGES[damage](zoo)
  with pytest.raises(errors.Damaged) as e:
    driver.run(RECIPE, str(zoo), Bar())
  follow(zoo, str(e.value))
  assert driver.run(RECIPE, str(zoo), Bar())
  assert digest(zoo) == digest(finished) and nws_jax.open_zoo(zoo).verify() == 8


@pytest.mark.parametrize('name', ('members.csv', 'checksums.json', 'plan.json',
                                  'units/{}/progress.json', 'snapshots/{}'))
def test_the_advice_of_a_finished_zoo_works(finished, tmp_path, name):
  zoo = shutil.copytree(finished, tmp_path / 'zoo')
  path = zoo / name.format(units(zoo)[0])
  if path.is_dir():
    shutil.rmtree(path)
  else:
    flip(path, None, 1)
  with pytest.raises(errors.Damaged) as e:
    driver.run(RECIPE, str(zoo), Bar())
  assert f'{path}' in str(e.value)
  with pytest.raises(errors.Damaged, match=path.name):
    nws_jax.open_zoo(zoo).verify()
  follow(zoo, str(e.value))
  assert driver.run(RECIPE, str(zoo), Bar()) == ('units' in name
                                                 or 'snapshots' in name)
  assert digest(zoo) == digest(finished) and nws_jax.open_zoo(zoo).verify() == 8


def drop_id(zoo, _):
  change_plan(zoo, lambda units: units[0]['ids'].pop())


def rename(zoo, _):
  change_plan(zoo, lambda units: units[0].update(name='k1-c3x1-f1x8-b128-007'))


def copy_unit(zoo, others, which, name=None):
  for kind in ('units', 'snapshots'):
    source = sorted((others[which] / kind).iterdir())[-1]
    place = zoo / kind / (name or source.name)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(source, place)


DISAGREE = {
    'an id dropped from the plan': drop_id, 'a unit renamed in it': rename,
    'a unit of a larger zoo': lambda z, others: copy_unit(z, others, 0),
    'a unit of another seed': lambda z, others: copy_unit(z, others, 1),
    'a unit twice': lambda z, others: copy_unit(
        z, [z], 0, 'k1-c3x1-f1x8-b128-005')}


@pytest.mark.parametrize('old', (False, True))
@pytest.mark.parametrize('disagree', DISAGREE)
def test_what_does_not_agree_is_named_by_all_who_read(
    finished, others, tmp_path, disagree, old):
  zoo = shutil.copytree(finished, tmp_path / 'zoo')
  DISAGREE[disagree](zoo, others)
  if old:
    make_old(zoo)
  before = read_all(zoo)
  for go in (lambda: driver.run(RECIPE, str(zoo), Bar()),
             lambda: nws_jax.open_zoo(zoo).verify()):
    with pytest.raises(errors.Damaged, match='plan.json|progress.json'):
      go()
  assert read_all(zoo) == before


def make_old(zoo):
  """Takes away what older versions did not write."""
  for path in zoo.rglob('*.json'):
    record = tables.read_json(path)
    for name in ('identity', 'state'):
      record.pop(name, None)
    path.write_text(json.dumps(record))
    if path.name == 'unit.json':
      path.unlink()


def test_an_old_zoo_goes_on(begun, finished, tmp_path):
  for place in (begun, finished):
    zoo = shutil.copytree(place, tmp_path / place.name)
    make_old(zoo)
    before = read_all(zoo)
    assert driver.run(RECIPE, str(zoo), Bar()) == (place == begun)
    assert digest(zoo) == digest(finished)
    if place == finished:
      after = read_all(zoo)
      assert {name: after[name] for name in before} == before
    (zoo / 'plan.json').unlink()  # the units have recorded it meanwhile
    assert not driver.run(RECIPE, str(zoo), Bar())
    assert (zoo / 'plan.json').exists()


def test_an_old_zoo_without_its_plan_is_left_alone(begun, tmp_path):
  zoo = shutil.copytree(begun, tmp_path / 'zoo')
  make_old(zoo)
  (zoo / 'plan.json').unlink()
  before = read_all(zoo)
  with pytest.raises(errors.Damaged, match='plan.json is missing.*in another'):
    driver.run(RECIPE, str(zoo), Bar())
  assert read_all(zoo) == before


def test_a_lost_plan_is_rebuilt_whatever_is_asked(begun, finished, tmp_path):
  """Of a zoo that had grown, and by a request with another width."""
  zoo = shutil.copytree(begun, tmp_path / 'zoo')
  plan = (zoo / 'plan.json').read_bytes()
  (zoo / 'plan.json').unlink()
  assert driver.run(dataclasses.replace(RECIPE, networks_per_program=3),
                    str(zoo), Bar())
  assert (zoo / 'plan.json').read_bytes() == plan
  assert digest(zoo) == digest(finished)
  driver.run(dataclasses.replace(RECIPE, networks=5), str(zoo), Bar())
  plan, grown = (zoo / 'plan.json').read_bytes(), digest(zoo)
  (zoo / 'plan.json').unlink()
  assert not driver.run(dataclasses.replace(RECIPE, networks=5), str(zoo),
                        Bar())
  assert (zoo / 'plan.json').read_bytes() == plan and digest(zoo) == grown


def test_a_finished_zoo_is_verified_and_stays_as_it_is(finished, tmp_path):
  zoo = shutil.copytree(finished, tmp_path / 'zoo')
  def look():
    return {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in zoo.rglob('*')
            if p.is_file() and p.name != 'lock'}
  before = look()
  assert not driver.run(RECIPE, str(zoo), Bar())
  assert look() == before

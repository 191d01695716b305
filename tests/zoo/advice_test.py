"""What a refusal advises is followed, and then the request is possible."""

import dataclasses
import re
import shutil

import pytest

from nws_jax import errors
from nws_jax.store import tables
from nws_jax.zoo import driver, opening, runtime
from tests.zoo import damage_test
from tests.zoo.damage_test import RECIPE, Bar

begun = damage_test.begun
SHAPES = dict(RECIPE.choices) | {
    'batch_size': (32, 128), 'width_fc': (8, 16, 64), 'filter_size': (1, 3)}
NEW = dataclasses.replace(RECIPE, choices=tuple(SHAPES.items()), networks=100)
REQUESTS = {
    'all kept': dict(keep=0, epochs=40),
    'most kept': dict(keep=30, epochs=200),
    'a queue': dict(keep=0, epochs=200, early_stopping=1),
    'any width': dict(keep=2, epochs=20, networks_per_program=0)}


def list_ways(recipe, said):
  """[(way, the request that follows it)] of a refusal for want of disk."""
  return [(key, dataclasses.replace(recipe, **{key: float(value)
                                    if key == 'disk_gb' else int(value)}))
          for key, value in re.findall(
              r'--config.(networks|keep|disk_gb)(?:=| to )([0-9.]+[0-9])',
              said)]


@pytest.mark.parametrize('disk_gb', (0.006, 0.02))
@pytest.mark.parametrize('request_', REQUESTS)
def test_what_is_said_to_fit_the_disk_does(tmp_path, request_, disk_gb):
  recipe = dataclasses.replace(NEW, disk_gb=disk_gb, **REQUESTS[request_])
  _, refusal = driver.quote(recipe, str(tmp_path / 'zoo'))
  if refusal is None:
    return
  ways = list_ways(recipe, str(refusal))
  assert 'disk_gb' in dict(ways) and recipe.networks == 100
  for way, other in ways:
    said, refusal = driver.quote(other, str(tmp_path / 'zoo'))
    assert refusal is None, (way, str(refusal))
    assert f'{other.networks} of {other.networks} networks are left' in said


def test_a_zoo_that_is_there_is_advised_what_it_can_become(begun, tmp_path):
  """Less than it has, or another `keep`, would be another zoo."""
  zoo = str(shutil.copytree(begun, tmp_path / 'zoo'))
  for networks, ways in ((400, ['networks', 'disk_gb']), (4, ['disk_gb'])):
    recipe = dataclasses.replace(
        RECIPE, networks=networks, disk_gb=0.002 if networks > 4 else 1e-5)
    _, refusal = driver.quote(recipe, zoo)
    found = list_ways(recipe, str(refusal))
    assert [way for way, _ in found] == ways
    for way, other in found:
      assert driver.quote(other, zoo)[1] is None, way


@pytest.mark.parametrize('here', ('gpu', 'cpu'))
def test_jax_platforms_is_named_only_where_it_helps(
    begun, tmp_path, monkeypatch, here):
  zoo = shutil.copytree(begun, tmp_path / 'zoo')
  if here == 'cpu':  # so the zoo is not
    for path in (zoo / 'plan.json', *zoo.glob('units/*/unit.json')):
      record = tables.read_json(path)
      record.get('plan', record)['platform'] = 'gpu'
      tables.write_json(path, record)
  monkeypatch.setattr(runtime, 'start', lambda devices: (here, 2))
  with pytest.raises(errors.Wrong, match='Go on where it began') as e:
    driver.run(RECIPE, str(zoo), Bar())
  assert ('JAX_PLATFORMS=cpu' in str(e.value)) == (here == 'gpu')


def test_a_folder_without_config_is_advised_by_what_it_holds(begun, tmp_path):
  zoo = shutil.copytree(begun, tmp_path / 'zoo')
  (zoo / 'config.json').unlink()
  with pytest.raises(errors.Damaged, match='config.json is damaged: it is mis'):
    opening.check_free(str(zoo))

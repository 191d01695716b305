import importlib

import pytest

from nws_jax import errors, options

COMMANDS = ('zoo.__main__', 'meta.__main__', 'report', 'verify', 'convert',
            'data', 'identify')
# The options that take words; any other one that takes text takes a path.
WORDS = {'target', 'classifier', 'ablate', 'exclude', 'hold_out'}
PLACES = {'from', 'to'}  # FORMAT:FOLDER
BODY = '''
import ml_collections
def get_config(preset='a'):
  {}
'''


def load_command(name):
  return importlib.import_module(f'nws_jax.{name}')


@pytest.mark.parametrize('name', COMMANDS)
def test_every_option_for_a_path_reads_it_as_one(name, monkeypatch):
  monkeypatch.setenv('HOME', '/home/me')
  values = load_command(name)._FLAGS
  found = [flag for flag in values if flag not in WORDS | PLACES
           and flag != 'config'
           and values[flag].flag_type() == 'string']
  assert found or name == 'convert'
  for flag in found:
    parser = values[flag].parser
    assert parser.parse('~/x') == '/home/me/x', flag
    with pytest.raises(errors.Wrong, match=f'^--{flag}=gs://x'):
      parser.parse('gs://x')
  for flag in PLACES & set(values):
    assert load_command(name)._parse(flag, 'zoo:~/x') == ('zoo', '/home/me/x')


@pytest.mark.parametrize('body, words', [
    ('return ml_collections.ConfigDict', ['type', 'ConfigDict']),
    ('return None', ['NoneType']),
    ('return {}', ['dict']),
    ('return nothing', ['line 4', "name 'nothing' is not defined"]),
    ('return (', ['line 4', 'never closed']),
    ('import not_here', ['line 4', "No module named 'not_here'"]),
    ('raise SystemExit', ['line 4', 'SystemExit']),
    ('raise KeyError(preset)', ['line 4', "KeyError: 'x'"])])
def test_a_file_that_makes_no_config(tmp_path, body, words):
  path = tmp_path / 'mine.py'
  path.write_text(BODY.format(body))
  with pytest.raises(errors.Wrong) as e:
    options.load(f'{path}:x')
  said = str(e.value)
  assert said.startswith(f'--config={path}:x is not a config: ')
  assert '\n' not in said
  for word in words:
    assert word in said


@pytest.mark.parametrize('text, word', [
    ('', 'no function get_config'), ('\0', 'null bytes'),
    ('def get_config():\n  return 1', 'takes 0 positional arguments')])
def test_a_file_that_is_no_config(tmp_path, text, word):
  path = tmp_path / 'mine.py'
  path.write_text(text)
  with pytest.raises(errors.Wrong, match=word):
    options.load(f'{path}:x')


def test_a_config_in_the_home_folder(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  (tmp_path / 'mine').write_text(BODY.format(
      'return ml_collections.ConfigDict({"key": preset})'))
  assert options.load('~/mine:b').key == 'b'
  with pytest.raises(errors.Wrong, match=f'{tmp_path}/none: .*no such file'):
    options.load('~/none')
  with pytest.raises(errors.Wrong, match='no such file'):
    options.load(str(tmp_path))
  (tmp_path / 'a:b').mkdir()
  (tmp_path / 'mine').rename(tmp_path / 'a:b' / 'mine')
  assert options.load('~/a:b/mine').key == 'a'
  assert options.load('~/a:b/mine:c:d').key == 'c:d'


def test_the_packages_configs_are_found_anywhere(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  assert options.load('configs/zoo.py:smoke').networks == 100
  assert 'configs/zoo.py is not in this folder' in capsys.readouterr().err
  assert options.load('./configs/meta.py').window == 0
  (tmp_path / 'configs').mkdir()
  (tmp_path / 'configs' / 'zoo.py').write_text(BODY.format(
      'return ml_collections.ConfigDict({"own": 1})'))
  capsys.readouterr()
  assert options.load('configs/zoo.py').own == 1
  assert not capsys.readouterr().err
  with pytest.raises(errors.Wrong, match='no such file'):
    options.load('others/zoo.py')

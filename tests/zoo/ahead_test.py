import threading

import pytest

from nws_jax.zoo import ahead


def test_the_next_is_built_while_the_present_is_used():
  begun, go = [], threading.Event()
  def build(key):
    begun.append(key)
    if key == 'b':
      assert go.wait(10)
    return key.upper()
  with ahead.Ahead(build) as programs:
    assert programs.get('a', ['b']) == 'A'
    go.set()  # `get` came back although b was not built
    assert programs.get('b', ['b']) == 'B' and programs.get('b', ['a']) == 'B'
    assert programs.get('a') == 'A'
  assert begun == ['a', 'b', 'a']  # a was let go of, and asked for again


def test_not_ahead_only_what_is_needed():
  begun = []
  with ahead.Ahead(begun.append, ahead=0) as programs:
    programs.get('a', ['b'])
    assert begun == ['a']


def test_what_a_build_raises_comes_to_who_needs_it():
  def build(key):
    if key == 'b':
      raise ValueError('no room')
    return key
  with ahead.Ahead(build) as programs:
    assert programs.get('a', ['b']) == 'a'
    with pytest.raises(ValueError, match='no room'):
      programs.get('b')


def test_who_was_interrupted_does_not_wait_for_a_build():
  built, go = [], threading.Event()
  def build(key):
    assert key == 'a' or go.wait(30)
    built.append(key)
  with pytest.raises(KeyboardInterrupt):
    with ahead.Ahead(build) as programs:
      programs.get('a', ['b'])
      raise KeyboardInterrupt
  assert built == ['a']
  go.set()


def test_several_are_built_at_once():
  both = threading.Barrier(2)
  def build(key):
    if key != 'a':
      both.wait(10)  # for each other
    return key
  with ahead.Ahead(build, ahead=2) as programs:
    assert programs.get('a', ['a', 'b', 'b', 'c', 'd']) == 'a'
    assert programs.get('b', ['c']) == 'b' and programs.get('c') == 'c'

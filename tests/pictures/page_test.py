import base64
import html
import html.parser

import hypothesis
import numpy as np
import pandas as pd
from hypothesis import strategies

from nws_jax.pictures import theme
from nws_jax.pictures.page import blocks, render

_NUMBER, _FLAG = 'the name of a number', 'the name of a flag column'
_EVIL = '<script src="https://x.example/a.js">&"\'</script>'


class _Outline(html.parser.HTMLParser):
  """Tags of a page; fails where they do not close in order."""
  _EMPTY = ('meta', 'img', 'input')

  def __init__(self, text):
    super().__init__()
    self.open, self.seen, self.sources, self.data = [], [], [], ''
    self.feed(text)
    assert not self.open

  def handle_starttag(self, tag, attrs):
    if tag != 'span':  # one a word of a command
      self.seen.append(tag)
    self.sources += [v for k, v in attrs if k in ('src', 'href')]
    if tag not in self._EMPTY:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.data += data


def _build(text):
  drawn = theme.figure(2, 1)
  drawn.subplots().plot([0, 1])
  frame = pd.DataFrame({text: [text, 'b'], _NUMBER: [1234, np.nan],
                        _FLAG: [True, False]})
  return render.build(text, text, [blocks.Section('s', text, [
      blocks.Text(text), blocks.Notice(text), blocks.Commands([text]),
      blocks.Missing(text, [text]), blocks.Table('t', text, frame),
      blocks.Picture('p', text, text, drawn), blocks.Choice('c', text, [
          blocks.Option(text, blocks.Picture('q', text, text, drawn))],
                                                     frame)])])


def test_whatever_comes_from_files_is_text():
  files = _build(_EVIL)
  outline = _Outline(files['index.html'].decode())
  assert 'script' not in outline.seen
  assert outline.data.count(_EVIL) == 17
  assert all(s.startswith(('#s', 'data:image/png;base64,'))
             for s in outline.sources)


@hypothesis.given(strategies.text(max_size=15))
@hypothesis.settings(max_examples=20, deadline=None)
def test_no_text_breaks_the_page(text):
  plain = _Outline(_build('plain')['index.html'].decode()).seen
  assert _Outline(_build(text)['index.html'].decode()).seen == plain


@hypothesis.given(strategies.lists(strategies.text(), min_size=1, max_size=3))
def test_names_of_files_stay_in_their_folder(parts):
  name = blocks.slug(*parts)
  assert not set(name) & set('/\\.\0') and blocks.slug(*parts) == name


def test_files_hold_the_picture_of_the_page_and_plain_numbers():
  files = _build('a')
  assert set(files) == {'index.html', 'p.png', 't.csv', 'q.png', 'c.csv'}
  source, _ = [s for s in _Outline(files['index.html'].decode()).sources
             if s.startswith('data:')]
  assert base64.b64decode(source.partition(',')[2]) == files['p.png']
  assert files['t.csv'] == (
      f'a,{_NUMBER},{_FLAG}\na,1234.0,True\nb,,False\n'.encode())
  assert '1,234' in files['index.html'].decode()


def test_pictures_say_what_they_show():
  text = _build('a')['index.html'].decode()
  assert 'alt="a"' in text and 'width="200" height="100"' in text


def test_a_choice_shows_one_of_its_pictures_at_a_time():
  text = _build('a')['index.html'].decode()
  assert text.count('type="radio"') == 1 and 'id="c-0" checked' in text
  assert '<label for="c-0">a</label>\n<figure>' in text  # beside each other
  style = text[text.index('<style>'):text.index('</style>')]
  assert '.choice > figure { display: none' in style
  assert '.choice > input:checked + label + figure { display: block' in style

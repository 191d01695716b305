"""Blocks of text, tables and pictures -> the files of one page.

The page loads nothing: styles and pictures lie inside it. Whatever comes from
a file is text here, and is escaped on its way into the page.
"""

import base64
import html
import re
from typing import Any, Callable, NamedTuple

import pandas as pd

from nws_jax.pictures import theme


class Text(NamedTuple):
  text: str


class Warn(NamedTuple):
  text: str


class Commands(NamedTuple):
  """Lines to type."""
  lines: list[str]


class Missing(NamedTuple):
  """What is not there, and the command that makes it."""
  text: str
  command: str


class Table(NamedTuple):
  """A table; `name`.csv holds its plain numbers."""
  name: str
  caption: str
  frame: pd.DataFrame
  formats: dict[str, Callable[[Any], str]] = {}


class Picture(NamedTuple):
  """A picture; saved as `name`.png, its numbers, if any, as `name`.csv."""
  name: str
  caption: str
  alt: str
  figure: Any
  frame: pd.DataFrame | None = None


class Choice(NamedTuple):
  """Pictures of one thing in several ways; one is shown, the reader chooses.

  `name`.csv holds what all of them show.
  """
  name: str
  ask: str
  options: list[tuple[str, Picture]]
  frame: pd.DataFrame


class Section(NamedTuple):
  name: str
  title: str
  blocks: list


def build(title, subtitle, sections):
  """{file name: bytes} of the page, its pictures and its numbers."""
  files = {}
  for block in (x for s in sections for b in s.blocks for x in (
      [b, *(p for _, p in b.options)] if isinstance(b, Choice) else [b])):
    if isinstance(block, Picture):
      files[f'{block.name}.png'] = theme.to_png(block.figure)
    if getattr(block, 'frame', None) is not None:
      files[f'{block.name}.csv'] = block.frame.to_csv(index=False).encode()
  contents = ''.join(f'<li><a href="#{s.name}">{_escape(s.title)}</a></li>'
                     for s in sections)
  body = ''.join(
      f'<section id="{s.name}"><h2>{_escape(s.title)}</h2>'
      + ''.join(_RENDER[type(b)](b, files) for b in s.blocks) + '</section>\n'
      for s in sections)
  files['index.html'] = (
      '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
      '<meta name="viewport" content="width=device-width, initial-scale=1">'
      f'<title>{_escape(title)}</title><style>{_STYLE}</style></head>\n<body>'
      f'<header><h1>{_escape(title)}</h1><p>{_escape(subtitle)}</p></header>'
      f'<nav aria-label="Contents"><ol>{contents}</ol></nav>\n'
      f'<main>{body}</main></body></html>\n').encode()
  return files


def slug(*parts):
  """A file name that stays in its folder, from texts that files gave."""
  return '_'.join(re.sub(r'[^a-z0-9_]+', '-', str(p).lower()) for p in parts)


def percent(value):
  return '–' if pd.isna(value) else f'{100 * value:.1f} %'


def _render_text(block, files):
  return f'<p>{_escape(block.text)}</p>'


def _render_warning(block, files):
  return f'<p class="warn" role="note">{_escape(block.text)}</p>'


def _render_commands(block, files):
  lines = [' '.join(f'<span>{_escape(word)}</span>' for word in line.split(' '))
           for line in block.lines]  # lines break between words alone
  return '<pre>' + ''.join(f'<code>{x}\n</code>' for x in lines) + '</pre>'


def _render_missing(block, files):
  return (f'<div class="missing"><p>{_escape(block.text)}</p>'
          f'{_render_commands(Commands([block.command]), files)}</div>')


def _render_table(block, files):
  frame = block.frame
  numeric = {c: pd.api.types.is_numeric_dtype(frame[c])
             and not pd.api.types.is_bool_dtype(frame[c]) for c in frame}
  kind = {c: ' class="number"' if numeric[c] else '' for c in frame}
  head = ''.join(f'<th scope="col"{kind[c]}>{_escape(theme.words(c))}</th>'
                 for c in frame)
  rows, last = [], object()
  for row in frame.to_dict('records'):
    cells = [_escape(block.formats.get(c, _show)(v)) for c, v in row.items()]
    new = ' class="group"' if row[frame.columns[0]] != last else ''
    first = f'<th scope="row">{cells[0] if new else ""}</th>'
    last = row[frame.columns[0]]
    rows.append(f'<tr{new}>{first}' + ''.join(
        f'<td{kind[c]}>{v}</td>'
        for c, v in zip(frame.columns[1:], cells[1:])) + '</tr>')
  return (f'<div class="scroll table"><table><caption>{_escape(block.caption)}'
          f'</caption><thead><tr>{head}</tr></thead>'
          f'<tbody>{"".join(rows)}</tbody></table></div>')


def _render_picture(block, files):
  png = base64.b64encode(files[f'{block.name}.png']).decode()
  width = round(100 * block.figure.get_figwidth())
  height = round(100 * block.figure.get_figheight())
  return (f'<figure><div class="scroll"><img src="data:image/png;base64,{png}" '
          f'width="{width}" height="{height}" alt="{_escape(block.alt)}"></div>'
          f'<figcaption>{_escape(block.caption)}</figcaption></figure>')


def _render_choice(block, files):
  """Works without a script: a style shows the figure of the checked button."""
  name = slug(block.name)
  buttons = ''.join(
      f'<input type="radio" name="{name}" id="{name}-{n}"'
      f'{"" if n else " checked"}><label for="{name}-{n}">{_escape(label)}'
      '</label>' for n, (label, _) in enumerate(block.options))
  figures = ''.join(_render_picture(p, files) for _, p in block.options)
  return (f'<div class="choice" role="radiogroup" '
          f'aria-label="{_escape(block.ask)}"><span>{_escape(block.ask)}</span>'
          f'{buttons}<div class="options">{figures}</div></div>')


def _show(value):
  if isinstance(value, bool):
    return theme.label(value)
  if isinstance(value, float):
    return '–' if pd.isna(value) else f'{value:,.4g}'
  return f'{value:,}' if isinstance(value, int) else theme.label(value)


def _escape(text):
  return html.escape(str(text), quote=True)


_RENDER = {Text: _render_text, Warn: _render_warning,
           Commands: _render_commands, Missing: _render_missing,
           Table: _render_table, Picture: _render_picture,
           Choice: _render_choice}
_MOST_OPTIONS = 24

_STYLE = '''
:root { color-scheme: light dark; --ink: #1d2328; --soft: #5c6670;
  --line: #dfe3e7; --paper: #fff; --wash: #f5f7f8; --link: #00609c;
  --warn: #fff4dc; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8eb;
  --soft: #a3adb6; --line: #384149; --paper: #15191c; --wash: #1f252a;
  --link: #7cc0ee; --warn: #463a1a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 5rem; max-width: 62.5rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto,
    "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .4rem; }
header p { color: var(--soft); font-size: 1.1rem; margin: 0; }
h2 { font-size: 1.35rem; line-height: 1.3; margin: 3.2rem 0 .8rem;
  padding-top: .9rem; border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: .6rem 0; }
nav ol { columns: 16rem 2; margin: 1.6rem 0 0; padding: 1rem 1rem 1rem 2.4rem;
  background: var(--wash); border-radius: 6px; }
a { color: var(--link); }
figure { margin: 1.6rem 0; }
img { display: block; max-width: 100%; height: auto; background: #fff;
  border-radius: 4px; }
figcaption, caption { color: var(--soft); font-size: .9rem; line-height: 1.45;
  text-align: left; max-width: 46rem; }
figcaption { margin-top: .5rem; }
caption { padding-bottom: .5rem; }
.scroll { overflow-x: auto; }
.table { margin: 2rem 0; }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.35;
  font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left;
  vertical-align: baseline; }
thead th { max-width: 7em; border-bottom: 1.5px solid var(--ink);
  vertical-align: bottom; }
tbody th { font-weight: 600; }
tr.group > * { border-top: 1px solid var(--line); }
th.number, .number { text-align: right; }
td.number { white-space: nowrap; }
pre { background: var(--wash); border-radius: 6px; padding: .8rem 1rem;
  font-size: .875rem; margin: .8rem 0; }
pre code { display: block; white-space: pre-wrap; padding-left: 2em;
  text-indent: -2em; overflow-x: auto; }
pre span { white-space: nowrap; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas,
  "Liberation Mono", monospace; }
.missing { border: 1px dashed var(--soft); border-radius: 6px;
  padding: .4rem 1rem; margin: 1.2rem 0; }
.choice { margin: 1.6rem 0; }
.choice > span { color: var(--soft); margin-right: .6rem; }
.choice > input { position: absolute; opacity: 0; }
.choice > label { display: inline-block; padding: .15rem .6rem; margin: .15rem;
  border: 1px solid var(--line); border-radius: 1rem; font-size: .875rem;
  cursor: pointer; }
.choice > input:checked + label { background: var(--ink); color: var(--paper); }
.choice > input:focus-visible + label { outline: 2px solid var(--link); }
.options > figure { display: none; margin-top: .8rem; }
.warn { background: var(--warn); border-radius: 6px; padding: .6rem 1rem;
  max-width: none; }
@media screen and (max-width: 40rem) { img { max-width: none; } }
@media print { body { padding: 0; max-width: none; font-size: 10pt; }
  nav { display: none; } figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; } .scroll { overflow: visible; } }
'''
_STYLE += ', '.join(
    f'.choice > input:nth-of-type({n}):checked ~ .options > '
    f'figure:nth-child({n})' for n in range(1, _MOST_OPTIONS + 1)) + (
        ' { display: block; }\n')

"""Sections -> the files of one page.

The templates beside this module lay the page out. They escape whatever they
are given: text from a file stays text.
"""

import pathlib
from typing import Iterable

import jinja2

from nws_jax.pictures.page import blocks


def build(title: str, subtitle: str,
          sections: Iterable[blocks.Section]) -> dict[str, bytes]:
  """{file name: content} of the page, its pictures and its numbers."""
  sections = list(sections)
  files: dict[str, bytes] = {}
  for section in sections:
    for block in section.blocks:
      files |= block.list_files()
  environment = jinja2.Environment(
      loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
      autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
      lstrip_blocks=True)
  files['index.html'] = environment.get_template('page.html.jinja').render(
      title=title, subtitle=subtitle, sections=sections).encode()
  return files

"""What a control is: one record, all of whose fields are required."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from nws_jax.meta import request as requests
from nws_jax.meta import settings
from nws_jax.meta.data import regions, windows
from nws_jax.meta.training import cross_validation


class NotApplicable(Exception):
  """Why a control cannot be had for a request, or would show nothing."""


class Score(NamedTuple):
  """The answer that controls stand beside."""
  request: requests.Request
  figures: dict[str, Any]  # of all its meta-seeds
  trial: cross_validation.Trial  # of the first meta-seed
  decisions: cross_validation.Decisions  # likewise


class Role(NamedTuple):
  """The meaning of a kind of control, and how its outcome is judged."""
  meaning: str  # in words
  # Its entry in result.json, from the decisions of its trials.
  describe: Callable[[Score, list[cross_validation.Decisions]], dict[str, Any]]
  # (its name, its entry, the score's figures) -> a sentence if it explains a
  # score above chance, else ''.
  explain: Callable[[str, dict[str, Any], dict[str, Any]], str]


class Plan(NamedTuple):
  """The trials of a control, before they are trained."""
  place: regions.Place | regions.Numbers | None  # None: that of the score
  changes: list[dict[str, Any]]  # a trial each: what differs from the score's
  about: dict[str, Any]  # of its entry in result.json, beside the figures


@dataclasses.dataclass(frozen=True)
class Control:
  """Something else that could explain a score; see `table`."""
  name: str  # in `--config.controls`, result.json and every table
  role: Role
  # always: with every score that it applies to; default: unless
  # `--config.controls` says otherwise; named: only with `all` or by its name.
  asked: Literal['always', 'default', 'named']
  # How many trials it trains, each of which costs as much as one reading of the
  # target.
  count_trials: Callable[[settings.Settings], int]
  # Why it does not apply to a request's target; '' if it does.
  find_obstacle: Callable[[requests.Request], str]
  # Raises `NotApplicable` where the zoo cannot give it.
  plan: Callable[[requests.Request, windows.Source], Plan]


def count_one(s: settings.Settings) -> int:
  """`Control.count_trials` of those that are one reading of something else."""
  del s
  return 1


def allow_all(request: requests.Request) -> str:
  """`Control.find_obstacle` of those that apply to every target."""
  del request
  return ''


def need_networks(request: requests.Request) -> str:
  """`Control.find_obstacle` of those that read each network by itself."""
  return '' if request.members is request.networks else (
      'it applies to targets of which each network has one value')

"""What else could explain a score, measured beside it."""

from typing import Any, NamedTuple

from nws_jax import errors
from nws_jax.meta import request as requests
from nws_jax.meta import running, settings
from nws_jax.meta.answers import score
from nws_jax.meta.answers.controls import control, table
from nws_jax.meta.data import regions, windows
from nws_jax.meta.training import cross_validation


class Prepared(NamedTuple):
  """A control whose trials are ready to be trained."""
  control: control.Control
  place: regions.Place | regions.Numbers | None  # None: that of the score
  trials: list[cross_validation.Trial]  # of that place
  about: dict[str, Any]  # goes into result.json


def list_named(text: str) -> list[str]:
  """The names that `Settings.controls` asks for: default, all, none or a list.

  Raises:
    errors.Wrong: there is no such control.
  """
  choosable = [c for c in table.CONTROLS.values() if c.asked != 'always']
  groups = {'default': [c.name for c in choosable if c.asked == 'default'],
            'all': [c.name for c in choosable], 'none': []}
  names = groups.get(text, [n.strip() for n in text.split(',')])
  if not set(names) <= {c.name for c in choosable}:
    raise errors.Wrong(
        f'controls={text!r} is not possible; allowed: {", ".join(groups)}, or '
        f'some of {", ".join(groups["all"])}.')
  return names


def count_trials(s: settings.Settings) -> int:
  """How many more readings than the score itself its controls cost."""
  named = list_named(s.controls)
  return sum(table.CONTROLS[name].count_trials(s) for name in named)


def prepare(
    request: requests.Request,
    source: windows.Source) -> tuple[list[Prepared], dict[str, str]]:
  """The controls of a request, ready to be trained.

  Returns:
    (those that there are, {name: why a control that was asked for is left
    out}).
  """
  named = list_named(request.settings.controls)
  always = [c.name for c in table.CONTROLS.values() if c.asked == 'always']
  prepared, left_out = [], {}
  for c in (table.CONTROLS[name] for name in always + named):
    try:
      obstacle = c.find_obstacle(request)
      if obstacle:
        raise control.NotApplicable(obstacle)
      plan = c.plan(request, source)
    except control.NotApplicable as e:
      if c.name in named:
        left_out[c.name] = str(e)
      continue
    prepared.append(Prepared(c, plan.place, [
        running.make_trial(request, **changes) for changes in plan.changes],
                             plan.about))
  # Models draw by the number of their trial: those at the score's place come
  # first, in whatever order they are named.
  return sorted(prepared, key=lambda p: p.place is not None), left_out


def describe(main: control.Score, prepared: list[Prepared],
             decisions: list[cross_validation.Decisions]) -> dict[str, Any]:
  """The entries of the controls in result.json.

  Args:
    main: the score that they stand beside.
    prepared: the controls, as `prepare` returned them.
    decisions: of all their trials, in the same order.
  """
  found, remaining = {}, iter(decisions)
  for p in prepared:
    decided = [next(remaining) for _ in p.trials]
    found[p.control.name] = {**p.control.role.describe(main, decided),
                             **p.about}
  return found


def warn(record: dict[str, Any]) -> list[str]:
  """Sentences on the controls that explain a score above chance."""
  if not score.main_figure(record).exceeds(record['chance']):
    return []
  sentences = [table.CONTROLS[name].role.explain(name, part, record)
               for name, part in record['controls'].items()]
  return [s for s in sentences if s]

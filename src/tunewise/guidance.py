"""How to act on a verdict: the method, its runner-up, and the next steps, by documented rules. Pure.

The rules are data (`guidance.toml`); each names the rules of `knowledge/rules.md` that it rests on, and those
carry the sources.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from pydantic import Field

from tunewise.schema import Method, StepKind, Value, Verdict

MOST_STEPS = 6
NEGATED = re.compile(
    r"\b(?:no|(?<!may )(?<!must )(?<!should )not|never|nobody|without|lack(?:s|ed|ing)?"
    r"|(?:do|does|did|have|has|had|is|are|was|were)n['’]t)\b"
    r"(?:(?!\b(?:but|only|just|except|though|although)\b)[^.,;:!?\n])*$",
    re.I,
)
"""Before words that name a thing: it is said not to exist. Of what may not be shared this is not said."""
NEGATED_REACH = 40
UNSTATED = ("unknown", "untried")


class Sign(Value):
    """What speaks for or against a method."""

    factor: str | None = None
    """The factor that is looked at."""
    levels: tuple[str, ...] = ()
    """Its levels that count."""
    words: str | None = None
    """A regular expression that is searched in what the user wrote."""
    points: int
    """What it adds."""
    why: str
    """What it means, in one clause."""

    def met(self, levels: Mapping[str, str], text: str) -> bool:
        """Whether a sheet, or the user's words, show the sign."""
        if self.words is not None:
            return any(_there(text, match.start()) for match in re.finditer(self.words, text, re.I))
        return levels.get(self.factor or "") in self.levels


def _there(text: str, start: int) -> bool:
    """Whether the words at a place are not said to name what does not exist."""
    return NEGATED.search(text, max(start - NEGATED_REACH, 0), start) is None


class MethodRule(Value):
    """When a method is advised."""

    name: Method
    verdict: Verdict
    points: int
    """What it starts with."""
    rules: tuple[str, ...] = Field(min_length=1)
    """Rules of the knowledge folder that it rests on."""
    otherwise: str
    """Why it comes second where nothing speaks against it outright."""
    signs: tuple[Sign, ...]


class StepRule(Value):
    """A step of a plan, and when it belongs to it."""

    kind: StepKind
    verdicts: tuple[Verdict, ...]
    methods: tuple[Method, ...] = ()
    """Only for these; for all where empty."""
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Levels of factors of which one must hold; it belongs anyhow where empty."""
    unless: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Levels of factors under which the step has been taken already, or cannot be."""
    text: str
    rules: tuple[str, ...] = Field(min_length=1)

    def belongs(self, verdict: Verdict, method: Method | None, levels: Mapping[str, str]) -> bool:
        """Whether the step is part of the plan for a verdict, a method and a sheet."""
        called_for = not self.where or any(levels.get(name) in wanted for name, wanted in self.where.items())
        ruled_out = any(levels.get(name) in taken for name, taken in self.unless.items())
        fits = verdict in self.verdicts and (not self.methods or method in self.methods)
        return fits and called_for and not ruled_out


class Guidance(Value):
    """The contents of `guidance.toml`."""

    version: int
    method: tuple[MethodRule, ...]
    step: tuple[StepRule, ...]


class Option(Value):
    """A method as it stands in one situation."""

    method: Method
    points: int
    why: str
    """What speaks for it; empty where nothing that was said does."""
    objection: str
    """What speaks against it, or why it comes second."""
    rules: tuple[str, ...]


@cache
def guidance() -> Guidance:
    """The rules that ship with Tunewise; a test validates them."""
    data = files("tunewise").joinpath("guidance.toml").read_text(encoding="utf-8")
    return Guidance.model_validate(tomllib.loads(data))


def rank(verdict: Verdict, levels: Mapping[str, str], text: str = "") -> tuple[Option, ...]:
    """The methods under a verdict, best first; none where more information is needed.

    Args:
        verdict: What was decided.
        levels: The sheet: level of each factor.
        text: What the user wrote, for signs that no factor holds.
    """
    options = []
    for rule in guidance().method:
        if rule.verdict is not verdict:
            continue
        met = sorted((sign for sign in rule.signs if sign.met(levels, text)), key=lambda sign: -abs(sign.points))
        against = [sign.why for sign in met if sign.points < 0]
        options.append(
            Option(
                method=rule.name,
                points=rule.points + sum(sign.points for sign in met),
                why="; ".join([sign.why for sign in met if sign.points > 0][:2]),
                objection=against[0] if against else rule.otherwise,
                rules=rule.rules,
            )
        )
    # The order of the file settles a tie.
    return tuple(sorted(options, key=lambda option: -option.points))


def plan(verdict: Verdict, method: Method | None, levels: Mapping[str, str]) -> tuple[StepRule, ...]:
    """The next steps, the cheapest experiment first, with a rule when to stop and what to fall back on."""
    steps = [step for step in guidance().step if step.belongs(verdict, method, levels)]
    while len(steps) > MOST_STEPS:
        # The later experiments are the ones a reader can do without.
        steps.remove([step for step in steps if step.kind is StepKind.EXPERIMENT][-1])
    return tuple(steps)

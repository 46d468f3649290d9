"""What goes with a verdict so that a person can act on it: method, alternatives and plan, with their sources. Pure."""

from collections.abc import Iterable, Mapping

from tunewise import guidance
from tunewise.schema import Alternative, Evidence, Fact, PlanStep, Value, Verdict

MOST_ALTERNATIVES = 2


class Counsel(Value):
    """The part of an `Advice` that follows from verdict and sheet by rule."""

    method_reason: str = ""
    method_evidence: tuple[Evidence, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    plan: tuple[PlanStep, ...] = ()


def counsel(verdict: Verdict, levels: Mapping[str, str], text: str, facts: Mapping[str, Fact]) -> Counsel:
    """Method, alternatives and plan.

    Args:
        verdict: What was decided.
        levels: The sheet: level of each factor.
        text: What the user wrote.
        facts: Facts of the knowledge folder by id; a rule that it lacks is left out of the evidence.
    """
    options = guidance.rank(verdict, levels, text)
    first = options[0] if options else None
    steps = guidance.plan(verdict, first.method if first else None, levels)

    def evidence(rules: Iterable[str]) -> tuple[Evidence, ...]:
        return tuple(Evidence.of(facts[rule]) for rule in rules if rule in facts)

    return Counsel(
        method_reason=first.why if first else "",
        method_evidence=evidence(first.rules) if first else (),
        alternatives=tuple(
            Alternative(method=option.method, why=option.why, why_not=option.objection, evidence=evidence(option.rules))
            for option in options[1 : 1 + MOST_ALTERNATIVES]
        ),
        plan=tuple(PlanStep(kind=step.kind, text=step.text, evidence=evidence(step.rules)) for step in steps),
    )

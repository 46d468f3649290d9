"""Ask many varied situations and check every promise about an answer.

    python -m evals.invariants [SCENARIOS.jsonl …] [--count N]

Prints how many answers were valid, every breach, the share of reasons in the model's own words, and
the median times. Exits with 1 if there is any breach.
"""

import argparse
import json
import statistics
import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import track

from evals.fit import read_scenarios
from tunewise import Advice, Advisor, TunewiseError, Verdict, grounding
from tunewise.settings import resource

SCENARIOS = Path(__file__).parent / "scenarios"


def breaches(advice: Advice, advisor: Advisor) -> list[str]:
    """Promises that an answer breaks; empty where it keeps all."""
    facts = {fact.id: fact for fact in advisor.index.corpus.facts}
    found = []
    if Advice.model_validate(json.loads(advice.model_dump_json())) != advice:
        found.append("does not survive JSON")
    if len(advice.reasons) != advisor.settings.reasons:
        found.append(f"{len(advice.reasons)} reasons")
    if advice.verdict is Verdict.NEEDS_MORE_INFORMATION and not advice.questions:
        found.append("no question")
    for factor in advice.factors:
        if factor.quote is not None and factor.quote not in advice.situation:
            found.append(f"the user never wrote: {factor.quote}")
    for reason in advice.reasons:
        for evidence in reason.evidence:
            text = (resource("knowledge") / evidence.document).read_text(encoding="utf-8")
            if evidence.quote != facts[evidence.fact].text or evidence.quote not in text:
                found.append(f"{evidence.fact} is not verbatim")
        supports = [advice.situation, *(evidence.quote for evidence in reason.evidence)]
        if not reason.composed:
            found += [f"{breach}: {reason.text}" for breach in grounding.violations(reason.text, supports)]
    return found


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m evals.invariants", description="Check the promises of answers.")
    parser.add_argument("scenarios", nargs="*", type=Path, default=sorted(SCENARIOS.glob("*.jsonl")))
    parser.add_argument("--count", type=int, default=100, help="situations, spread evenly over the files")
    arguments = parser.parse_args()
    scenarios = read_scenarios(arguments.scenarios)
    chosen = scenarios[:: max(len(scenarios) // arguments.count, 1)][: arguments.count]
    advisor = Advisor()
    advisor.load()
    console = Console()
    answers, failures = [], []
    for scenario in track(chosen, "Asking", console=Console(stderr=True)):
        try:
            answer = advisor.ask(scenario["situation"])
        except TunewiseError as error:
            failures.append(f"{scenario['id']}: {error}")
            continue
        answers.append(answer)
        failures += [f"{scenario['id']}: {breach}" for breach in breaches(answer, advisor)]
    own = [not reason.composed for answer in answers for reason in answer.reasons]
    times = {
        name: round(statistics.median(getattr(answer.timings, name) for answer in answers), 2)
        for name in ("retrieve", "verdict", "reasons", "total")
    }
    console.print(f"{len(answers)} of {len(chosen)} answers, {len(failures)} breaches; median seconds {times}")
    console.print(f"{sum(own) / len(own):.0%} of {len(own)} reasons in the model's own words")
    console.print(dict(Counter(answer.verdict.value for answer in answers)))
    for failure in failures:
        console.print(f"  {failure}", markup=False)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()

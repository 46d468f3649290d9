"""Markdown of a result. Pure: shows what is in the object and computes nothing."""

import re
from collections.abc import Iterable

from tunewise.schema import Advice, Answer, Evidence, Judgement, PlanStep

PUNCTUATION = re.compile(r"([\\`*_{}\[\]<>#|])")
CITATION = re.compile(r"\\\[(\d+)\\\](?!\()")
"""A citation after `escape`; other brackets stay escaped, for a quoted document may hold a link."""


def markdown(result: Advice | Answer) -> str:
    """A result as Markdown, with numbered sources; text of others is escaped."""
    return _advice(result) if isinstance(result, Advice) else _answer(result)


def decision_record(advice: Advice) -> str:
    """A decision as a document to keep: what was said, decided and left open, and what computed it.

    The same advice always gives the same text: timings and dates are left out.
    """
    sources = _Numbered()
    body = [
        "# Decision record: model strategy",
        "## Situation",
        *(f"> {escape(line)}" if line.strip() else ">" for line in advice.situation.splitlines()),
        "## Verdict",
        _verdict(advice),
        *(f"- {escape(note)}" for note in advice.notes),
        *(f"- What changed: {escape(changed)}" for changed in [what_changed(advice)] if changed),
        "## Reasons",
        *(f"{n}. {escape(reason.text)}{sources(reason.evidence)}" for n, reason in enumerate(advice.reasons, start=1)),
        "## What the situation says",
        "\n".join(_sheet(advice)),
        "## How",
        *_ways(advice, sources),
        "## Next steps",
        *_steps(advice.plan, sources),
        *_figures(advice),
        *_open_points(advice),
        "## Sources",
        *(line.rstrip() for line in _sources(sources.found)),
        "## Computed by",
        "\n".join(f"- {name}: `{value}`" for name, value in advice.provenance.model_dump().items() if value),
    ]
    return "\n\n".join(body) + "\n"


class _Numbered:
    """Numbers sources in the order in which they are first cited."""

    def __init__(self) -> None:
        self.found: list[Evidence] = []

    def __call__(self, evidence: Iterable[Evidence]) -> str:
        marks = []
        for item in evidence:
            if item not in self.found:
                self.found.append(item)
            marks.append(f" [{self.found.index(item) + 1}]")
        return "".join(marks)


def _verdict(advice: Advice) -> str:
    shares = sorted(advice.probabilities.items(), key=lambda pair: -pair[1])
    rows = [f"| {verdict.label} | {percent(share)} |" for verdict, share in shares]
    kind = "calibrated" if advice.calibrated else "not calibrated"
    head = f"**{advice.verdict.label}**, confidence {percent(advice.confidence)} ({kind})."
    return "\n".join([head, "", "| way | probability |", "| --- | --- |", *rows])


def _ways(advice: Advice, sources: _Numbered) -> list[str]:
    if advice.method is None:
        return ["No method before the open question is answered."]
    because = f", because {escape(advice.method_reason)}" if advice.method_reason else ""
    lines = [f"**{advice.method.label}**{because}.{sources(advice.method_evidence)}"]
    for other in advice.alternatives:
        why = f" Speaks for it: {escape(other.why)}." if other.why else ""
        lines.append(
            f"- Instead: {other.method.label}.{why} Comes second: {escape(other.why_not)}.{sources(other.evidence)}"
        )
    return lines


def _steps(plan: Iterable[PlanStep], sources: _Numbered) -> list[str]:
    return [f"{n}. {escape(step.text)}{sources(step.evidence)}" for n, step in enumerate(plan, start=1)]


def _figures(advice: Advice) -> list[str]:
    if not advice.estimates:
        return []
    rows = [
        f"| {escape(item.quantity)} | {item.low:.4g} – {item.high:.4g} | {escape(item.unit)} | {escape(item.formula)} "
        f"| {escape('; '.join(item.assumptions))} | {escape(item.source)} |"
        for item in advice.estimates
    ]
    head = ["| quantity | range | unit | formula | assumptions | source |", "| --- | --- | --- | --- | --- | --- |"]
    return ["## Figures", "\n".join([*head, *rows])]


def _open_points(advice: Advice) -> list[str]:
    lines = [f"- Ask: {escape(question)}" for question in advice.questions]
    lines += [
        f"- If instead {escape(change.words)}: {change.verdict.label}, {percent(change.probability)}"
        for change in advice.would_change
    ]
    return ["## Open points, and what would change the verdict", "\n".join(lines)] if lines else []


def what_changed(judgement: Judgement) -> str:
    """What the last message of a conversation changed, in a sentence or two; empty where nothing can be said."""
    if judgement.previous is None or judgement.previous_confidence is None:
        return ""
    moves = [f"{change.factor}: {change.meaning_before} → {change.meaning_after}" for change in judgement.changes]
    would = judgement.hypothetical
    shares = at_share(judgement.confidence, judgement.previous_confidence)
    if judgement.verdict is not judgement.previous:
        verb = "would turn" if would else "turns"
        verdict = f"The verdict {verb} from “{judgement.previous.label}” to “{judgement.verdict.label}”."
    else:
        verdict = f"The verdict {'would stay' if would else 'stays'}, {shares}."
    return f"{'; '.join(moves)}. {verdict}" if moves else verdict


def at_share(now: float, before: float) -> str:
    """The probability of a verdict that stays, and the one before where a person reads another number there."""
    then = "" if percent(now) == percent(before) else f" instead of {percent(before)}"
    return f"at {percent(now)}{then}"


def percent(share: float) -> str:
    """A probability as a person reads it; never 0 % or 100 %."""
    return f"{min(max(round(100 * share), 1), 99)}\u00a0%"


def source_line(evidence: Evidence) -> str:
    """A source on one line, with the date of facts that age."""
    dated = f", as of {evidence.as_of}" if evidence.as_of else ""
    return f"{evidence.source} ({evidence.status}{dated})"


def escape(text: str) -> str:
    """Text that Markdown shows as it is."""
    return PUNCTUATION.sub(r"\\\1", text)


def _advice(advice: Advice) -> str:
    lines = [f"## {advice.verdict.label}", ""]
    means = f", by {advice.method.value.replace('_', ' ')}" if advice.method else ""
    lines += [f"Confidence {percent(advice.confidence)}{means}.", ""]
    lines += [f"> {escape(' '.join(note.split()))}\n" for note in advice.notes]
    changed = what_changed(advice)
    lines += [f"**What changed:** {escape(changed)}", ""] if changed else []
    numbered: dict[str, int] = {}
    sources: list[Evidence] = []
    for place, reason in enumerate(advice.reasons, start=1):
        for evidence in reason.evidence:
            if evidence.fact not in numbered:
                sources.append(evidence)
                numbered[evidence.fact] = len(sources)
        marks = "".join(f" [{numbered[evidence.fact]}]" for evidence in reason.evidence)
        lines.append(f"{place}. {escape(reason.text)}{marks}")
    lines += ["", *_sheet(advice)]
    if advice.questions:
        lines += ["", "**Worth finding out:** " + " ".join(advice.questions)]
    return "\n".join([*lines, "", *_sources(sources)])


def _sheet(advice: Advice) -> list[str]:
    lines = ["| factor | level | your words | speaks for |", "| --- | --- | --- | --- |"]
    for factor in advice.factors:
        quote = f"“{escape(' '.join(factor.quote.split()))}”" if factor.quote else ""
        toward = factor.pushes_toward.label if factor.pushes_toward else ""
        lines.append(f"| {factor.name} | {factor.meaning} | {quote} | {toward} |")
    return lines


def _answer(answer: Answer) -> str:
    return "\n".join([CITATION.sub(r"[\1]", escape(answer.text)), "", *_sources(list(answer.evidence))])


def _sources(sources: list[Evidence]) -> list[str]:
    lines = []
    for place, evidence in enumerate(sources, start=1):
        link = f" <{evidence.url}>" if evidence.url else ""
        lines.append(f"[{place}] “{escape(evidence.quote)}” — {escape(source_line(evidence))}{link}\n")
    return lines

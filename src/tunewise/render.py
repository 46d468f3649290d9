"""Markdown of a result. Pure: shows what is in the object and computes nothing."""

import re

from tunewise.schema import Advice, Answer, Evidence

PUNCTUATION = re.compile(r"([\\`*_{}\[\]<>#|])")


def markdown(result: Advice | Answer) -> str:
    """A result as Markdown, with numbered sources; text of others is escaped."""
    return _advice(result) if isinstance(result, Advice) else _answer(result)


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
    lines += [f"> {note}\n" for note in advice.notes]
    numbered: dict[str, int] = {}
    sources: list[Evidence] = []
    for place, reason in enumerate(advice.reasons, start=1):
        for evidence in reason.evidence:
            if evidence.fact not in numbered:
                sources.append(evidence)
                numbered[evidence.fact] = len(sources)
        marks = "".join(f" [{numbered[evidence.fact]}]" for evidence in reason.evidence)
        lines.append(f"{place}. {escape(reason.text)}{marks}")
    lines += ["", "| factor | level | your words | speaks for |", "| --- | --- | --- | --- |"]
    for factor in advice.factors:
        quote = f"“{escape(factor.quote)}”" if factor.quote else ""
        toward = factor.pushes_toward.label if factor.pushes_toward else ""
        lines.append(f"| {factor.name} | {factor.meaning} | {quote} | {toward} |")
    if advice.questions:
        lines += ["", "**Worth finding out:** " + " ".join(advice.questions)]
    return "\n".join([*lines, "", *_sources(sources)])


def _answer(answer: Answer) -> str:
    return "\n".join(
        [escape(answer.text).replace("\\[", "[").replace("\\]", "]"), "", *_sources(list(answer.evidence))]
    )


def _sources(sources: list[Evidence]) -> list[str]:
    lines = []
    for place, evidence in enumerate(sources, start=1):
        link = f" <{evidence.url}>" if evidence.url else ""
        lines.append(f"[{place}] “{escape(evidence.quote)}” — {escape(source_line(evidence))}{link}\n")
    return lines

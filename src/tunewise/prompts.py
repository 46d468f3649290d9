"""Prompts, factors and worked examples: versioned files, rendered strictly, named by a hash."""

import hashlib
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateError, meta
from jinja2.sandbox import SandboxedEnvironment
from pydantic import Field, ValidationError

from tunewise.errors import CorpusError
from tunewise.schema import Value, Verdict

FENCE = "---\n"
MALFORMED = (ValueError, ArithmeticError, LookupError, AttributeError, RecursionError, yaml.YAMLError)
"""What PyYAML raises; a scalar that is tagged as what it is not makes it stumble in any of these ways."""
PHRASES: dict[Verdict, str] = {
    Verdict.TRAIN_FROM_SCRATCH: "train a model from scratch",
    Verdict.FINE_TUNE: "fine-tune a pre-trained model",
    Verdict.USE_AS_IS: "use an existing model as it is",
    Verdict.NEEDS_MORE_INFORMATION: "ask for more information",
}
"""How the model names each verdict; no two begin with the same token."""
STRATEGY = "The right strategy is to"
"""What stands before a verdict, in the worked examples as well as in use."""


class Level(Value):
    """One possible value of a factor."""

    name: str
    """A single lower-case word, distinct within the factor."""
    meaning: str
    """The level in plain words."""
    pushes: Verdict | None = None
    """The verdict that the level speaks for."""


class FactorSpec(Value):
    """A decisive factor: what is asked, and which levels the answer may have."""

    name: str
    """A single lower-case word."""
    title: str
    """How the factor is called before a person."""
    ask: str
    """The question that settles it."""
    cues: tuple[str, ...]
    """Words that tend to stand in the clause that settles it."""
    levels: tuple[Level, ...] = Field(min_length=2)
    """Its levels."""

    def level(self, name: str) -> Level:
        """The level of that name.

        Raises:
            CorpusError: There is none.
        """
        for level in self.levels:
            if level.name == name:
                return level
        known = ", ".join(level.name for level in self.levels)
        raise CorpusError(f"The factor '{self.name}' has no level '{name}'; it has {known}.")

    @property
    def silent(self) -> Level | None:
        """The level that stands for "not stated", where the factor has one."""
        return next((level for level in self.levels if level.name in ("unknown", "untried")), None)


class Example(Value):
    """A worked example of a factor sheet."""

    situation: str
    sheet: dict[str, str]
    """Level of every factor."""
    verdict: Verdict
    because: str
    """The factor that the reason rests on."""
    fact: str
    """What is known about it."""
    reason: str
    """The reason, in one sentence."""


class Prompt(Value):
    """A template with a header: name, version, and the variables it needs."""

    name: str
    version: int
    variables: tuple[str, ...]
    template: str

    def render(self, **values: object) -> str:
        """Fill in the variables, all of them and no others.

        Raises:
            CorpusError: A variable is missing, unknown, or the template is broken.
        """
        if set(values) != set(self.variables):
            odd = ", ".join(sorted(set(values) ^ set(self.variables)))
            raise CorpusError(f"The prompt '{self.name}' does not fit its variables: {odd}.")
        try:
            return _environment().from_string(self.template).render(**values).strip()
        # Jinja compiles a number that is too large for a float to the name inf, which nobody defines.
        except (TemplateError, ArithmeticError, NameError, TypeError, ValueError, RecursionError) as error:
            raise CorpusError(f"The prompt '{self.name}' cannot be rendered: {error}.") from error


class PromptLibrary:
    """The prompts of a folder.

    Args:
        folder: Holds `*.md` prompts, `factors.toml` and `examples.yaml`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def factors(self) -> tuple[FactorSpec, ...]:
        """The decisive factors, in the order in which they are asked.

        Raises:
            CorpusError: The file is missing or malformed.
        """
        try:
            data = tomllib.loads(self._text("factors.toml"))
            return tuple(FactorSpec.model_validate(item) for item in data["factor"])
        except (tomllib.TOMLDecodeError, ValidationError, KeyError, TypeError, RecursionError) as error:
            raise CorpusError(f"factors.toml is malformed: {error}.") from error

    @cached_property
    def examples(self) -> tuple[Example, ...]:
        """The worked examples.

        Raises:
            CorpusError: The file is missing or malformed, or a sheet leaves a factor out.
        """
        try:
            data = yaml.safe_load(self._text("examples.yaml"))
            examples = tuple(Example.model_validate(item) for item in data["examples"])
        except (*MALFORMED, ValidationError, TypeError) as error:
            raise CorpusError(f"examples.yaml is malformed: {error}.") from error
        for example in examples:
            if list(example.sheet) != [factor.name for factor in self.factors]:
                raise CorpusError(f"The sheet of the example '{example.situation[:40]}…' is not complete.")
            for factor in self.factors:
                factor.level(example.sheet[factor.name])
        return examples

    @cached_property
    def because(self) -> dict[Verdict, dict[str, str]]:
        """Why a level speaks for a verdict, by verdict and `factor.level`; see `reasons/because.toml`.

        Raises:
            CorpusError: The file is missing or malformed, or names an unknown factor or level.
        """
        clauses = {verdict: dict(self._reasons.get(verdict.value, {})) for verdict in Verdict}
        specs = {spec.name: spec for spec in self.factors}
        for key in (key for table in clauses.values() for key in table):
            factor, _, level = key.partition(".")
            if factor not in specs:
                raise CorpusError(f"because.toml names the unknown factor '{factor}'.")
            specs[factor].level(level)
        return clauses

    def foreign_topics(self, level: str) -> frozenset[str]:
        """Topics that treat another kind of input than this level of the factor `input`."""
        topics: dict[str, list[str]] = self._reasons.get("topics", {})
        if level not in topics or level == "other":
            return frozenset()
        return frozenset(topic for named in topics.values() for topic in named) - frozenset(topics[level])

    @cached_property
    def _reasons(self) -> dict[str, Any]:
        try:
            found = tomllib.loads(self._text("reasons/because.toml"))
        except tomllib.TOMLDecodeError as error:
            raise CorpusError(f"because.toml is malformed: {error}.") from error
        for name in ("topics", *Verdict):
            if not isinstance(found.get(name, {}), dict):
                raise CorpusError(f"because.toml is malformed: '{name}' is not a table.")
        return found

    def prompt(self, name: str) -> Prompt:
        """Read a prompt and compare its header with its template.

        Raises:
            CorpusError: The file is missing or malformed, or header and template disagree.
        """
        text = self._text(f"{name}.md")
        try:
            _, header, body = text.split(FENCE, 2)
            prompt = Prompt.model_validate(_mapping(yaml.safe_load(header)) | {"template": body})
            used = meta.find_undeclared_variables(_environment().parse(body))
        except (*MALFORMED, TemplateError) as error:
            raise CorpusError(f"The prompt '{name}' is malformed: {error}.") from error
        if used != set(prompt.variables) or prompt.name != name:
            raise CorpusError(f"The header of the prompt '{name}' does not fit its template.")
        return prompt

    @cached_property
    def digest(self) -> str:
        """Hash of the factors, the examples and the prompts beside them; ties a decision head to what it was fitted on.

        What lies in folders below leaves it as it is: the head has read neither the reasons nor the prompts of
        other engines. So does what is none of ours, such as the hidden files of a desktop.
        """
        total = hashlib.sha256()
        for file in sorted(file for file in self.folder.glob("[!.]*.*") if _is_read(file)):
            total.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
        return total.hexdigest()

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CorpusError(f"The prompt file {self.folder / name} cannot be read: {error}.") from error


def verdict_line(verdict: Verdict) -> str:
    """How a verdict stands behind the sheet, in the worked examples as well as in use."""
    return f"{STRATEGY} {PHRASES[verdict]}."


def reason_lead(factor: str, level: str, fact: str, quote: str | None = None) -> str:
    """What stands between verdict and reason, in the worked examples as well as in use."""
    words = f" ({quote})" if quote else ""
    return f"\nBecause {factor}: {level}{words}\nKnown: {fact}\nReason:"


def _is_read(file: Path) -> bool:
    return file.suffix == ".md" or file.name in ("factors.toml", "examples.yaml")


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("the header is not a mapping")
    return value


def _environment() -> SandboxedEnvironment:
    return SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)

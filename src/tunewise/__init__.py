"""Tunewise: a local assistant that reasons about model strategy.

>>> from tunewise import Advisor
>>> advice = Advisor().ask("We have 4,000 labelled X-rays and want to sort them by finding.")
>>> advice.verdict
<Verdict.FINE_TUNE: 'fine_tune'>
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunewise.advisor import Advisor
    from tunewise.conversation import Conversation
    from tunewise.errors import TunewiseError
    from tunewise.schema import Advice, Answer, Verdict
    from tunewise.settings import Settings

HOMES = {
    "Advice": "schema",
    "Advisor": "advisor",
    "Answer": "schema",
    "Conversation": "conversation",
    "Settings": "settings",
    "TunewiseError": "errors",
    "Verdict": "schema",
}
__all__ = ["Advice", "Advisor", "Answer", "Conversation", "Settings", "TunewiseError", "Verdict"]


def __getattr__(name: str) -> Any:
    """Load a module only when something of it is asked for, so that importing costs nothing."""
    if name not in HOMES:
        raise AttributeError(f"module 'tunewise' has no attribute '{name}'")
    return getattr(import_module(f"tunewise.{HOMES[name]}"), name)

"""Tunewise: a local assistant that reasons about model strategy.

>>> from tunewise import Advisor
>>> advice = Advisor().ask("We have 4,000 labelled X-rays and want to sort them by finding.")
>>> advice.verdict
<Verdict.FINE_TUNE: 'fine_tune'>
"""

from typing import TYPE_CHECKING, Any

from tunewise.errors import TunewiseError
from tunewise.schema import Advice, Answer, Verdict

if TYPE_CHECKING:
    from tunewise.advisor import Advisor, Conversation
    from tunewise.settings import Settings

__all__ = ["Advice", "Advisor", "Answer", "Conversation", "Settings", "TunewiseError", "Verdict"]


def __getattr__(name: str) -> Any:
    """Load what is heavy only when it is asked for, so that importing costs nothing."""
    if name in ("Advisor", "Conversation"):
        from tunewise import advisor

        return getattr(advisor, name)
    if name == "Settings":
        from tunewise.settings import Settings

        return Settings
    raise AttributeError(f"module 'tunewise' has no attribute '{name}'")

"""Adapters to other frameworks, around a plain callable."""

from collections.abc import Callable

from langchain_core.runnables import Runnable, RunnableLambda

from tunewise.schema import Advice


def runnable(ask: Callable[[str], Advice]) -> Runnable[str, Advice]:
    """A LangChain runnable that answers a situation with `Advice`."""
    return RunnableLambda(ask, name="tunewise")

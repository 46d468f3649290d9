"""Verdicts on many situations: one a processor, each in a single short forward pass.

Beside each other, threads that work on a situation each lose no time waiting for each other, as threads do that
share one. And a batch is asked for verdicts only, which the heads read out of the model's first three quarters,
so the last quarter of the layers is left out, and situation and sheet go through in one pass rather than two. The
hidden states are those of `Advisor.judge`, bit by bit, and so are the verdicts. `evals/NOTES.md` has what it gains,
and what gained less.
"""

import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tunewise import dialogue
from tunewise.advisor import Advisor
from tunewise.errors import TunewiseError, WorkError
from tunewise.factors import Reading
from tunewise.llm import LocalModel
from tunewise.schema import Judgement
from tunewise.session import Session, open_session
from tunewise.timing import Clock
from tunewise.turns import CancelToken

ROWS = 256
"""Tokens of a forward pass; a longer situation takes several."""


class Lanes:
    """Contexts that work beside each other, with a thread each.

    Args:
        advisor: Decides; its model is opened once more for each lane.
        count: How many; as many as the model has threads for where None.
    """

    def __init__(self, advisor: Advisor, count: int | None = None) -> None:
        advisor.load()
        self._advisor = advisor
        self._lanes = [advisor.model.lane(ROWS) for _ in range(count or advisor.model.threads)]
        self._free: queue.SimpleQueue[LocalModel] = queue.SimpleQueue()
        for lane in self._lanes:
            self._free.put(lane)
        # The first to come reads the prefix and keeps it on disk; the others take it from there.
        for lane in self._lanes:
            with open_session(lane, advisor.reader.prefix):
                pass

    def judge(
        self, situations: Sequence[str], cancel: CancelToken | None = None
    ) -> Iterator[Judgement | TunewiseError]:
        """Judge situations, in order; one that cannot be judged yields its error instead.

        Equal texts are judged once. Verdicts and probabilities are those of `Advisor.judge`.

        Args:
            situations: As for `Advisor.judge`.
            cancel: Stops the work when set; it stays as it is.

        Raises:
            Cancelled: `cancel` was set.
            EngineError: llama.cpp failed.
        """
        token = cancel or CancelToken()
        with ThreadPoolExecutor(len(self._lanes)) as pool:
            work = {text: pool.submit(self._judge, text, token) for text in dict.fromkeys(situations)}
            try:
                for text in situations:
                    found = work[text].result()
                    if isinstance(found, WorkError):
                        raise found
                    yield found
            finally:
                # Lanes that are still at work stop within their pass; a token of the caller's may serve other calls.
                if cancel is None:
                    token.set()
                pool.shutdown(cancel_futures=True)

    def glances(self, situations: Sequence[str]) -> Iterator[Reading]:
        """What the model computes of each situation, in order; see `SheetReader.glance`.

        Args:
            situations: Texts, read as they are.

        Raises:
            EngineError: llama.cpp failed.
        """
        cancel = CancelToken()
        with ThreadPoolExecutor(len(self._lanes)) as pool:
            try:
                yield from pool.map(lambda text: self._glance(text, cancel), situations)
            finally:
                cancel.set()
                pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Free the memory."""
        for lane in self._lanes:
            lane.close()

    def _judge(self, text: str, cancel: CancelToken) -> Judgement | TunewiseError:
        try:
            advisor, clock = self._advisor, Clock()
            checked = dialogue.check(text)
            advisor.check_length(checked)
            with self._session(cancel) as session, clock.part("sheet"):
                read = advisor.reader.glance if self._read_out else advisor.reader.read
                reading = read(session, advisor.orders(checked).text)
                clock.tokens_read = session.tokens_read
            return advisor.seen(advisor.conclude(checked, reading, {}, clock))
        except TunewiseError as error:
            return error

    def _glance(self, text: str, cancel: CancelToken) -> Reading:
        with self._session(cancel) as session:
            return self._advisor.reader.glance(session, text)

    @contextmanager
    def _session(self, cancel: CancelToken) -> Iterator[Session]:
        """A session behind the prefix, in the next lane that is free."""
        lane = self._free.get()
        try:
            with open_session(lane, self._advisor.reader.prefix, cancel) as session:
                yield session
        finally:
            self._free.put(lane)

    @property
    def _read_out(self) -> bool:
        """Whether heads read everything out of hidden states, so that the model's own words are not needed."""
        heads = self._advisor.heads
        return heads is not None and {spec.name for spec in self._advisor.library.factors} <= set(heads.factors)

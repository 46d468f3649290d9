"""A session: exclusive use of the model behind one prefix, to read, choose, write and look inside."""

import codecs
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewise.errors import EngineError, InputError
from tunewise.layers import States
from tunewise.llm import CHUNK, DEPTHS, LocalModel, Prefix, Row
from tunewise.turns import CancelToken


@dataclass(frozen=True)
class Choice:
    """Outcome of a constrained choice."""

    index: int
    """Position of the most probable option."""
    probabilities: tuple[float, ...]
    """Probability of each option given that it is one of them; sums to 1."""


@contextmanager
def open_session(model: LocalModel, prefix: Prefix, cancel: CancelToken | None = None) -> Iterator["Session"]:
    """Exclusive use of the model behind a prefix.

    Args:
        model: The local model.
        prefix: From `LocalModel.prefix`.
        cancel: Stops waiting, reading and writing when set.

    Raises:
        Cancelled: `cancel` was set.
        InputError: What is read does not fit the context window.
    """
    token = cancel or CancelToken()
    with model.turn(prefix, token) as seconds:
        yield Session(model, prefix, token, load_seconds=seconds)


class Session:
    """Exclusive use of the model behind a prefix; made by `open_session`.

    Reading is lazy: text that is read waits until a choice, a word or a state is asked for, so that
    neighbouring pieces share one forward pass.
    """

    def __init__(self, model: LocalModel, prefix: Prefix, cancel: CancelToken, *, load_seconds: float) -> None:
        self._model = model
        self._prefix = prefix
        self._cancel = cancel
        self._done = len(prefix.head)
        self._pending: list[int] = []
        self.load_seconds = load_seconds
        self.tokens_read = 0
        self.tokens_written = 0

    @property
    def position(self) -> int:
        """Tokens in the context, prefix included; a place to return to with `rewind`."""
        return self._done + len(self._pending)

    def read(self, text: str) -> None:
        """Append text; control tokens in it are ordinary characters."""
        self._pending += self._model.tokenize(text)

    def close_turn(self) -> None:
        """Append what the chat template puts between the changing text and the answer."""
        self._pending += self._prefix.tail

    def rewind(self, position: int) -> None:
        """Forget everything after a position."""
        if position < self._done:
            self._model.forget(position)
            self._done = position
            self._pending = []
        else:
            del self._pending[position - self._done :]

    def choose(self, options: Sequence[str]) -> Choice:
        """Weigh options by the model's probabilities, given that one of them comes next.

        The exact distribution of constrained decoding: at every token where the options part, the
        model's probabilities are renormalised over the ways that remain. Options that part at their
        first token cost one forward pass.

        Args:
            options: At least two texts that differ and of which none begins another.
        """
        self._flush()
        ways = {index: tuple(self._model.tokenize(option)) for index, option in enumerate(options)}
        logs = dict.fromkeys(ways, 0.0)
        self._weigh(ways, 0, 0.0, logs)
        return _softmax(np.array([logs[index] for index in range(len(options))]))

    def _weigh(self, ways: dict[int, tuple[int, ...]], depth: int, log: float, logs: dict[int, float]) -> None:
        branches: dict[int, dict[int, tuple[int, ...]]] = {}
        for index, tokens in ways.items():
            branches.setdefault(tokens[depth], {})[index] = tokens
        here = self._model.logits()[list(branches)].astype(np.float64)
        here -= here.max()
        shares = here - np.log(np.exp(here).sum())
        start = self._done
        for share, (token, branch) in zip(shares, branches.items(), strict=True):
            if len(branch) == 1:
                logs[next(iter(branch))] = log + float(share)
                continue
            self._evaluate([token])
            self._weigh(branch, depth + 1, log + float(share), logs)
            self.rewind(start)

    def choose_side_by_side(
        self, texts: Sequence[str], options: Sequence[Sequence[str]]
    ) -> tuple[list[Choice], States]:
        """Several independent choices in one forward pass, each behind a text of its own.

        The texts do not see each other, and the session's own context stays as it was.

        Args:
            texts: At most `BRANCHES`; each is read and a choice follows.
            options: For each text, at least two options.

        Returns:
            The choices, and the hidden states at the end of each text, shape (layers, len(texts), width).
        """
        self._flush()
        branches = [self._model.tokenize(text) for text in texts]
        self._model.branch(len(texts))
        try:
            states, logits = self._outputs(branches)
        finally:
            self._model.prune()
        choices = []
        for text, words, row in zip(texts, options, logits, strict=True):
            first = [self._model.tokenize(word)[0] for word in words]
            if len(set(first)) == len(first):
                choices.append(_softmax(row[first]))
                continue
            # Some vocabularies let two options begin alike: these are told apart one by one.
            here = self.position
            self.read(text)
            choices.append(self.choose(words))
            self.rewind(here)
        return choices, states

    def _outputs(self, branches: Sequence[Sequence[int]]) -> tuple[States, NDArray[np.float32]]:
        """Hidden states and logits at the last token of every branch."""
        rows = [
            Row(token, self._done + offset, index + 1, output=offset == len(tokens) - 1)
            for index, tokens in enumerate(branches)
            for offset, token in enumerate(tokens)
        ]
        if self._done + max(len(tokens) for tokens in branches) > self._model.context:
            raise InputError(f"The text does not fit: the context holds {self._model.context} tokens.")
        states = np.zeros((len(DEPTHS), len(branches), self._model.width), dtype=np.float32)
        logits = np.zeros((len(branches), self._model.vocabulary), dtype=np.float32)
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            found = self._model.decode(chunk, self._cancel, look=True)
            for place, row in enumerate(chunk):
                if row.output:
                    logits[row.sequence - 1] = self._model.logits(place)
                    states[:, row.sequence - 1] = found[:, place]
        self.tokens_read += len(rows)
        return states, logits

    def read_at_once(self, text: str, endings: Sequence[str]) -> tuple[States, States]:
        """Hidden states of a text and at the end of each of several endings behind it, and nothing else.

        Text and endings share one forward pass, which leaves out the model's last layers. The session's own
        context stays as it was.

        Args:
            text: What is read; the turn is closed behind it.
            endings: At most `BRANCHES`; they do not see each other.

        Returns:
            States of shape (layers, tokens of the text, width), and (layers, endings, width).
        """
        self._flush()
        model = self._model
        tokens = model.tokenize(text)
        everyone = range(1, 1 + len(endings))
        rows = [
            Row(token, self._done + place, everyone[0], shared=everyone[1:])
            for place, token in enumerate((*tokens, *self._prefix.tail))
        ]
        start = self._done + len(rows)
        ends = []
        for sequence, ending in zip(everyone, endings, strict=True):
            rows += [Row(token, start + place, sequence) for place, token in enumerate(model.tokenize(ending))]
            ends.append(len(rows) - 1)
        if self._done + len(rows) > model.context:
            raise InputError(f"The text does not fit: the context holds {model.context} tokens.")
        size = model.shape.rows
        model.branch(len(endings))
        try:
            parts = [
                model.decode(rows[first : first + size], self._cancel, look=True, leave=True)
                for first in range(0, len(rows), size)
            ]
        finally:
            model.prune()
        self.tokens_read += len(rows)
        states = np.concatenate(parts, axis=1)
        return states[:, : len(tokens)], states[:, ends]

    def write(self, text: str, *, limit: int, stop: Sequence[str] = ()) -> Iterator[str]:
        """Write one continuation; see `write_side_by_side`."""
        for _, piece in self.write_side_by_side([text], limit=limit, stop=stop):
            yield piece

    def write_side_by_side(
        self, texts: Sequence[str], *, limit: int, stop: Sequence[str] = ()
    ) -> Iterator[tuple[int, str]]:
        """Write several continuations of what was read, all in the same forward passes.

        A pass over three rows costs far less than three passes over one, because the weights are
        read from memory once. The continuations do not see each other, and the session's own
        context stays as it was.

        Args:
            texts: How each continuation begins, at most `BRANCHES`; read, not yielded.
            limit: Most tokens to write for each.
            stop: Texts that end a continuation; they are not part of it.

        Yields:
            Number of the continuation and its next piece of text.
        """
        self._flush()
        writers = [_Writer(self._model, stop) for _ in texts]
        branches = [self._model.tokenize(text) for text in texts]
        places = [self._done] * len(texts)
        self._model.branch(len(texts))
        try:
            for step in range(limit + 1):
                choices = self._advance(branches, places)
                for index, token in choices.items():
                    written = writers[index].add(token) if step < limit else writers[index].finish()
                    branches[index] = [] if writers[index].done else [token]
                    self.tokens_written += bool(branches[index])
                    if written:
                        yield index, written
                if all(writer.done for writer in writers):
                    return
        finally:
            self._model.prune()

    def _advance(self, branches: Sequence[Sequence[int]], places: list[int]) -> dict[int, int]:
        """Evaluate the new tokens of every branch; the most probable next token of each."""
        rows = [
            Row(token, places[index] + offset, index + 1, output=offset == len(tokens) - 1)
            for index, tokens in enumerate(branches)
            for offset, token in enumerate(tokens)
        ]
        for index, tokens in enumerate(branches):
            places[index] += len(tokens)
        if len(rows) > len(branches):
            self.tokens_read += len(rows)
        if max(places) > self._model.context:
            raise InputError(f"The text does not fit: the context holds {self._model.context} tokens.")
        choices: dict[int, int] = {}
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            self._model.decode(chunk, self._cancel)
            for place, row in enumerate(chunk):
                if row.output:
                    choices[row.sequence - 1] = int(self._model.logits(place).argmax())
        return choices

    def hidden(self) -> States:
        """Hidden states of the text read since the last forward pass, shape (layers, tokens, width)."""
        if not self._pending:
            raise EngineError("Hidden states need newly read text.")
        tokens, self._pending = self._pending, []
        return self._evaluate(tokens, look=True)

    def _flush(self) -> None:
        if self._pending:
            tokens, self._pending = self._pending, []
            self._evaluate(tokens)

    def _evaluate(self, tokens: Sequence[int], *, look: bool = False) -> States:
        states = self._model.evaluate(tokens, self._done, self._cancel, look=look)
        self._done += len(tokens)
        self.tokens_read += len(tokens)
        return states


class _Writer:
    """Turns the tokens of one continuation into text, and knows when it ends."""

    def __init__(self, model: LocalModel, stop: Sequence[str]) -> None:
        self._model = model
        self._stop = stop
        self._held = max((len(word) for word in stop), default=0)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._text = ""
        self._shown = 0
        self.done = False

    def add(self, token: int) -> str:
        """Take the next token; the text that may be shown now."""
        if self._model.ends(token):
            return self.finish()
        self._text += self._decoder.decode(self._model.piece(token))
        ends = [place for word in self._stop if (place := self._text.find(word)) >= 0]
        if ends:
            self._text = self._text[: min(ends)]
            return self.finish()
        # A stop text may arrive in pieces: what could be its beginning is held back.
        return self._show(len(self._text) - self._held)

    def finish(self) -> str:
        """End the continuation; the text that was held back."""
        self.done = True
        return self._show(len(self._text))

    def _show(self, end: int) -> str:
        piece = self._text[self._shown : end] if end > self._shown else ""
        self._shown += len(piece)
        return piece


def _softmax(scores: NDArray[Any]) -> Choice:
    weights = np.exp(scores.astype(np.float64) - scores.max())
    weights /= weights.sum()
    return Choice(int(weights.argmax()), tuple(float(weight) for weight in weights))

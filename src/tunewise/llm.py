"""The local model: llama.cpp behind a cached prefix, with constrained choice by log-probabilities.

A prompt is split in two. The *prefix* (instructions and worked examples) never changes: its key-value
cache is computed once, kept in memory, and written to disk. A *session* is exclusive use of the model
behind one prefix; it reads text, chooses among known options in one forward pass, writes freely, and
hands out the hidden state at a position. Text from users is tokenized without special tokens, so it
can never close a turn or open another one.
"""

import codecs
import ctypes
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewise.errors import Cancelled, EngineError, InputError

CHUNK = 128
"""Tokens evaluated at once while reading: large enough for speed, small enough to stop soon."""
HOLE = "\u241atunewise\u241a"
"""Marks, inside a rendered chat template, where the changing text goes."""
BRANCHES = 24
"""Most continuations that can run side by side."""
CACHE_FORMAT = 1
"""Version of the layout of prefix files."""


@dataclass(frozen=True)
class Prefix:
    """A prompt cut at the place where the changing text goes."""

    head: tuple[int, ...]
    """Tokens before the changing text; their key-value cache is kept."""
    tail: tuple[int, ...]
    """Tokens between the changing text and the answer."""
    digest: str
    """SHA-256 of `head`, which names the cache file."""


@dataclass(frozen=True)
class Row:
    """One token of a forward pass."""

    token: int
    position: int
    """Place in its sequence."""
    sequence: int = 0
    """0 is the main sequence."""
    output: bool = False
    """Whether its logits are wanted."""


@dataclass(frozen=True)
class Choice:
    """Outcome of a constrained choice."""

    index: int
    """Position of the most probable option."""
    probabilities: tuple[float, ...]
    """Probability of each option given that it is one of them; sums to 1."""


@dataclass
class CancelToken:
    """Asks a session to stop; safe to set from any thread, looked at even inside a forward pass."""

    _flag: ctypes.Array[ctypes.c_char] = field(default_factory=lambda: ctypes.create_string_buffer(b"0", 2))

    def set(self) -> None:
        """Ask to stop."""
        self._flag.value = b"1"

    @property
    def is_set(self) -> bool:
        """Whether someone asked to stop."""
        return self._flag.value == b"1"

    @property
    def address(self) -> int:
        """Where llama.cpp finds the flag."""
        return ctypes.addressof(self._flag)


class FairLock:
    """A lock that serves waiting threads in the order in which they came."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._held = False

    @contextmanager
    def hold(self, cancel: CancelToken) -> Iterator[None]:
        """Wait for one's turn and keep it.

        Raises:
            Cancelled: `cancel` was set while waiting.
        """
        turn = threading.Event()
        with self._mutex:
            if not self._held and not self._waiting:
                self._held = True
                turn.set()
            else:
                self._waiting.append(turn)
        while not turn.wait(0.05):
            if cancel.is_set and self._leave(turn):
                raise Cancelled("Stopped while waiting for the model.")
        try:
            yield
        finally:
            self._pass_on()

    def _leave(self, turn: threading.Event) -> bool:
        with self._mutex:
            if turn.is_set():
                return False
            self._waiting.remove(turn)
            return True

    def _pass_on(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._held = False

    @property
    def waiting(self) -> int:
        """How many threads wait for their turn."""
        return len(self._waiting)


class LocalModel:
    """A GGUF chat model in memory. One question at a time works on it; others wait in a fair queue.

    Args:
        path: The GGUF file; validated by the caller.
        fingerprint: SHA-256 of the file; part of the key of every prefix file.
        context: Context window in tokens.
        threads: Threads; the number of physical cores where None.
        prefixes: Folder for prefix files; None keeps prefixes in memory only.

    Raises:
        EngineError: llama.cpp refuses the file or the context.
    """

    def __init__(
        self,
        path: Path,
        *,
        fingerprint: str,
        context: int = 8192,
        threads: int | None = None,
        prefixes: Path | None = None,
    ) -> None:
        import llama_cpp
        import psutil

        self.path = path
        self.fingerprint = fingerprint
        self.context = context
        self.threads = threads or psutil.cpu_count(logical=False) or os.cpu_count() or 1
        self._api: Any = llama_cpp
        self._folder = prefixes
        self._lock = FairLock()
        self._resident: str | None = None
        self._log: deque[str] = deque(maxlen=20)
        self._quiet = llama_cpp.llama_log_callback(self._on_log)
        llama_cpp.llama_log_set(self._quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self._model = self._load()
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._ctx = self._open_context()
        self._memory = llama_cpp.llama_get_memory(self._ctx)
        self.vocabulary = int(llama_cpp.llama_vocab_n_tokens(self._vocab))
        self.width = int(llama_cpp.llama_model_n_embd(self._model))
        self._batch = llama_cpp.llama_batch_init(CHUNK, 0, 1)

    def _on_log(self, level: int, text: bytes, _: object) -> None:
        if level >= 3:
            self._log.append(text.decode(errors="replace").strip())

    def _load(self) -> Any:
        api = self._api
        params = api.llama_model_default_params()
        params.n_gpu_layers = 0
        # Repacked weights cannot be memory-mapped (load 2.0 s instead of 0.3 s), read prompts at
        # two thirds of the speed here, and on CPUs with AMX the kernels behind them crash when
        # llama.cpp was compiled with GCC 12: see evals/NOTES.md.
        params.use_extra_bufts = False
        model = api.llama_model_load_from_file(str(self.path).encode(), params)
        if not model:
            raise EngineError(
                f"llama.cpp cannot load {self.path.name}: {self._last_words()}",
                "Run 'tunewise models verify' or choose another model.",
            )
        return model

    def _open_context(self) -> Any:
        api = self._api
        params = api.llama_context_default_params()
        params.n_ctx = self.context
        params.n_batch = params.n_ubatch = CHUNK
        params.n_seq_max = BRANCHES + 1
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = self.threads
        params.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.pooling_type = api.LLAMA_POOLING_TYPE_NONE
        params.no_perf = True
        ctx = api.llama_init_from_model(self._model, params)
        if not ctx:
            raise EngineError(
                f"llama.cpp cannot open a context of {self.context} tokens: {self._last_words()}",
                "Set TUNEWISE_CONTEXT to a smaller number.",
            )
        return ctx

    def _last_words(self) -> str:
        return self._log[-1] if self._log else "it gave no reason"

    # --- text and tokens ------------------------------------------------------------------------

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Tokens of a text.

        Args:
            text: Any text.
            special: Read control tokens such as `<|im_end|>`; only for text of our own.
        """
        data = text.encode()
        size = len(data) + 8
        buffer = (self._api.llama_token * size)()
        count = self._api.llama_tokenize(self._vocab, data, len(data), buffer, size, False, special)
        if count < 0:
            raise EngineError("The text could not be tokenized.")
        return list(buffer[:count])

    def count(self, text: str) -> int:
        """Number of tokens of a text."""
        return len(self.tokenize(text))

    def piece(self, token: int) -> bytes:
        """Bytes of a token; empty for control tokens."""
        buffer = ctypes.create_string_buffer(256)
        length = self._api.llama_token_to_piece(self._vocab, token, buffer, 256, 0, False)
        return buffer.raw[: max(length, 0)]

    def ends(self, token: int) -> bool:
        """Whether a token ends the answer."""
        return bool(self._api.llama_vocab_is_eog(self._vocab, token))

    def prefix(self, messages: Sequence[dict[str, str]]) -> Prefix:
        """Render messages with the model's own chat template and cut at `HOLE`.

        Args:
            messages: `role` and `content`; exactly one content holds `HOLE`.

        Raises:
            EngineError: The template in the file cannot be rendered.
        """
        text = self._render(messages)
        head, hole, tail = text.partition(HOLE)
        if not hole:
            raise EngineError(f"The chat template of {self.path.name} drops the user's message.")
        tokens = tuple(self.tokenize(head, special=True))
        digest = hashlib.sha256(np.asarray(tokens, dtype=np.int32).tobytes()).hexdigest()
        return Prefix(tokens, tuple(self.tokenize(tail, special=True)), digest)

    def _render(self, messages: Sequence[dict[str, str]]) -> str:
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        raw = self._api.llama_model_chat_template(self._model, None)
        if not raw:
            raise EngineError(f"{self.path.name} has no chat template.", "Choose an instruction-tuned model.")

        def refuse(message: str) -> None:
            raise TemplateError(message)

        # The template comes with the model file, which is not ours: it runs in a sandbox.
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = refuse
        environment.globals["strftime_now"] = lambda _format: "2026-01-01"
        bos = self._api.llama_vocab_bos(self._vocab)
        values = {
            "bos_token": self._special(bos),
            "eos_token": self._special(self._api.llama_vocab_eos(self._vocab)),
            "add_generation_prompt": True,
            "enable_thinking": False,
        }
        try:
            template = environment.from_string(raw.decode())
            try:
                return template.render(messages=list(messages), **values)
            except TemplateError:
                return template.render(messages=_without_system(messages), **values)
        except (TemplateError, UnicodeDecodeError) as error:
            raise EngineError(f"The chat template of {self.path.name} cannot be rendered: {error}.") from error

    def _special(self, token: int) -> str:
        if token < 0:
            return ""
        text = self._api.llama_vocab_get_text(self._vocab, token)
        return text.decode(errors="replace") if text else ""

    # --- sessions -------------------------------------------------------------------------------

    @contextmanager
    def session(self, prefix: Prefix, cancel: CancelToken | None = None) -> Iterator["Session"]:
        """Exclusive use of the model behind a prefix.

        Args:
            prefix: From `prefix()`.
            cancel: Stops waiting, reading and writing when set.

        Raises:
            Cancelled: `cancel` was set.
            InputError: What is read does not fit the context window.
        """
        token = cancel or CancelToken()
        with self._lock.hold(token):
            self._watch(token)
            try:
                started = time.perf_counter()
                self._restore(prefix, token)
                yield Session(self, prefix, token, load_seconds=time.perf_counter() - started)
            finally:
                self._watch(None)
                self.forget(len(prefix.head) if self._resident == prefix.digest else 0)

    def _watch(self, token: CancelToken | None) -> None:
        """Let llama.cpp look at the cancel flag between the operations of a forward pass.

        The callback is the C library's own `atoi` on the flag's text: it costs nanoseconds and needs
        no interpreter lock, where a Python function would be called a thousand times a token.
        """
        api = self._api
        atoi = ctypes.cast(ctypes.CDLL(None).atoi, api.ggml_abort_callback) if token else None
        address = ctypes.c_void_p(token.address if token else None)
        api.llama_set_abort_callback(self._ctx, atoi or api.ggml_abort_callback(), address)

    def _restore(self, prefix: Prefix, cancel: CancelToken) -> None:
        """Bring the prefix into the context: from memory, else from disk, else by reading it."""
        if self._resident == prefix.digest:
            return
        self.forget(0)
        self._resident = None
        file = self._prefix_file(prefix)
        if file is None or not self._load_prefix(file, prefix):
            self.forget(0)
            self.evaluate(prefix.head, 0, cancel)
            if file is not None:
                self._save_prefix(file, prefix)
        self._resident = prefix.digest

    def _prefix_file(self, prefix: Prefix) -> Path | None:
        if self._folder is None:
            return None
        parts = (
            CACHE_FORMAT,
            self.fingerprint,
            prefix.digest,
            self.context,
            self._api.__version__,
            self.threads,
        )
        key = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
        return self._folder / f"{key}.prefix"

    def _load_prefix(self, file: Path, prefix: Prefix) -> bool:
        """Load a prefix file; False where it is missing, damaged or foreign."""
        seal = file.with_suffix(".sha256")
        try:
            if seal.read_text() != _file_digest(file):
                return False
        except (OSError, UnicodeDecodeError):
            return False
        size = len(prefix.head)
        tokens = (self._api.llama_token * size)()
        count = ctypes.c_size_t(0)
        loaded = self._api.llama_state_seq_load_file(
            self._ctx, str(file).encode(), 0, tokens, size, ctypes.byref(count)
        )
        return bool(loaded) and tuple(tokens[: count.value]) == prefix.head

    def _save_prefix(self, file: Path, prefix: Prefix) -> None:
        """Write a prefix file and its checksum; a folder that cannot be written costs speed only."""
        partial = file.with_suffix(f".{os.getpid()}.partial")
        size = len(prefix.head)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            tokens = (self._api.llama_token * size)(*prefix.head)
            written = self._api.llama_state_seq_save_file(self._ctx, str(partial).encode(), 0, tokens, size)
            if not written:
                return
            digest = _file_digest(partial)
            partial.replace(file)
            file.with_suffix(".sha256").write_text(digest)
        except OSError:
            return
        finally:
            partial.unlink(missing_ok=True)

    # --- forward passes -------------------------------------------------------------------------

    def forget(self, position: int) -> None:
        """Drop everything from a position on from the main sequence."""
        self._api.llama_memory_seq_rm(self._memory, 0, position, -1)

    def branch(self, count: int) -> None:
        """Let sequences 1 to `count` begin as copies of the main one; they share its memory."""
        for sequence in range(1, count + 1):
            self._api.llama_memory_seq_cp(self._memory, 0, sequence, -1, -1)

    def prune(self) -> None:
        """Drop all sequences but the main one."""
        for sequence in range(1, BRANCHES + 1):
            self._api.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def evaluate(self, tokens: Sequence[int], position: int, cancel: CancelToken, *, embed: bool = False) -> None:
        """Run the model over tokens at a position; logits of the last one are then available.

        Args:
            tokens: At least one.
            position: Place of the first in the context.
            cancel: Looked at between and inside forward passes.
            embed: Also keep the final hidden states of the last chunk.

        Raises:
            Cancelled: `cancel` was set.
            InputError: The tokens do not fit the context window.
            EngineError: llama.cpp failed.
        """
        if position + len(tokens) > self.context:
            raise InputError(
                f"The text does not fit: {position + len(tokens)} tokens, and the context holds {self.context}.",
                "Shorten it, or set TUNEWISE_CONTEXT to a larger number.",
            )
        for start in range(0, len(tokens), CHUNK):
            chunk = tokens[start : start + CHUNK]
            last = start + CHUNK >= len(tokens)
            first = position + start
            rows = [Row(token, first + place) for place, token in enumerate(chunk)]
            rows[-1] = replace(rows[-1], output=True)
            self.decode(rows, cancel, embed=embed and last)

    def decode(self, rows: Sequence[Row], cancel: CancelToken, *, embed: bool = False) -> None:
        """One forward pass.

        Args:
            rows: At most `CHUNK`.
            cancel: Looked at before and inside the pass.
            embed: Also keep the final hidden state of every row.

        Raises:
            Cancelled: `cancel` was set.
            EngineError: llama.cpp failed.
        """
        if cancel.is_set:
            raise Cancelled("Stopped.")
        batch = self._batch
        batch.n_tokens = len(rows)
        for place, row in enumerate(rows):
            batch.token[place] = row.token
            batch.pos[place] = row.position
            batch.n_seq_id[place] = 1
            batch.seq_id[place][0] = row.sequence
            batch.logits[place] = row.output or embed
        self._api.llama_set_embeddings(self._ctx, embed)
        status = self._api.llama_decode(self._ctx, batch)
        if status == 2 or cancel.is_set:
            raise Cancelled("Stopped.")
        if status != 0:
            raise EngineError(f"The model failed with status {status}: {self._last_words()}")

    def logits(self, row: int = -1) -> NDArray[np.float32]:
        """Logits of an output row of the last pass, shape (vocabulary,); valid until the next pass."""
        pointer = self._api.llama_get_logits_ith(self._ctx, row)
        return np.ctypeslib.as_array(pointer, shape=(self.vocabulary,))

    def embedding(self, row: int = -1) -> NDArray[np.float32]:
        """Final hidden state of a row of the last pass with `embed`, shape (width,); a copy."""
        pointer = self._api.llama_get_embeddings_ith(self._ctx, row)
        if not pointer:
            raise EngineError("The model gave no hidden state.")
        return np.ctypeslib.as_array(pointer, shape=(self.width,)).copy()

    def close(self) -> None:
        """Free the memory; the object is of no use afterwards."""
        with self._lock.hold(CancelToken()):
            if self._ctx:
                self._api.llama_batch_free(self._batch)
                self._api.llama_free(self._ctx)
                self._api.llama_model_free(self._model)
                self._ctx = self._model = None

    @property
    def waiting(self) -> int:
        """How many questions wait for the model."""
        return self._lock.waiting


class Session:
    """Exclusive use of the model behind a prefix; made by `LocalModel.session`.

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
    ) -> tuple[list[Choice], NDArray[np.float32]]:
        """Several independent choices in one forward pass, each behind a text of its own.

        The texts do not see each other, and the session's own context stays as it was.

        Args:
            texts: At most `BRANCHES`; each is read and a choice follows.
            options: For each text, at least two options.

        Returns:
            The choices, and the final hidden state at the end of each text, shape (len(texts), width).
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

    def _outputs(self, branches: Sequence[Sequence[int]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Hidden states and logits at the last token of every branch."""
        rows = [
            Row(token, self._done + offset, index + 1, output=offset == len(tokens) - 1)
            for index, tokens in enumerate(branches)
            for offset, token in enumerate(tokens)
        ]
        if self._done + max(len(tokens) for tokens in branches) > self._model.context:
            raise InputError(f"The text does not fit: the context holds {self._model.context} tokens.")
        states = np.zeros((len(branches), self._model.width), dtype=np.float32)
        logits = np.zeros((len(branches), self._model.vocabulary), dtype=np.float32)
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            self._model.decode(chunk, self._cancel, embed=True)
            for place, row in enumerate(chunk):
                if row.output:
                    logits[row.sequence - 1] = self._model.logits(place)
                    states[row.sequence - 1] = self._model.embedding(place)
        self.tokens_read += len(rows)
        return states, logits

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

    def hidden(self) -> NDArray[np.float32]:
        """Final hidden state at the last token that was read, shape (width,).

        Text must have been read since the last forward pass.
        """
        if not self._pending:
            raise EngineError("A hidden state needs newly read text.")
        tokens, self._pending = self._pending, []
        self._evaluate(tokens, embed=True)
        return self._model.embedding()

    def _flush(self) -> None:
        if self._pending:
            tokens, self._pending = self._pending, []
            self._evaluate(tokens)

    def _evaluate(self, tokens: Sequence[int], *, embed: bool = False) -> None:
        self._model.evaluate(tokens, self._done, self._cancel, embed=embed)
        self._done += len(tokens)
        self.tokens_read += len(tokens)


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


def _without_system(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Fold the system message into the first turn, for templates that know no system role."""
    first, *rest = messages
    if first["role"] != "system" or not rest:
        return list(messages)
    return [{"role": "user", "content": f"{first['content']}\n\n{rest[0]['content']}"}, *rest[1:]]


def _file_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

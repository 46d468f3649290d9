"""The local model: llama.cpp behind a cached prefix.

A prompt is split in two. The *prefix* (instructions and worked examples) never changes: its key-value
cache is computed once, kept in memory, and written to disk. What follows is the business of a *session*
(see `session`). Text from users is tokenized without special tokens, so it can never close a turn or
open another one.
"""

import ctypes
import hashlib
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewise.contexts import Context, Shape
from tunewise.errors import Cancelled, EngineError, InputError
from tunewise.layers import LayerTap, States
from tunewise.turns import CancelToken, FairLock

CHUNK = 128
"""Tokens evaluated at once while reading: large enough for speed, small enough to stop soon."""
HOLE = "\u241atunewise\u241a"
"""Marks, inside a rendered chat template, where the changing text goes."""
BRANCHES = 24
"""Most continuations that can run side by side."""
DEPTHS = (0.36, 0.5, 0.64, 0.75)
"""Layers whose hidden states can be had, as shares of the model's depth: 10, 14, 18 and 21 of 28."""
WARNING = 3
"""Level of llama.cpp's log from which a line is kept."""
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
    shared: Sequence[int] = ()
    """Further sequences that see it."""


class LocalModel:
    """A GGUF chat model in memory. One question at a time works on it; others wait in a fair queue.

    Args:
        path: The GGUF file; validated by the caller.
        fingerprint: SHA-256 of the file; part of the key of every prefix file.
        context: Context window in tokens.
        threads: Threads; the number of physical cores where None.
        prefixes: Folder for prefix files; None keeps prefixes in memory only.
        rows: Most tokens of a forward pass.
        key: Context and threads under which prefix files are kept; one's own where None.

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
        rows: int = CHUNK,
        key: tuple[int, int] | None = None,
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
        self._log = _listen()
        llama_cpp.llama_backend_init()
        self._model = self._load()
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self.vocabulary = int(llama_cpp.llama_vocab_n_tokens(self._vocab))
        self.width = int(llama_cpp.llama_model_n_embd(self._model))
        depth = int(llama_cpp.llama_model_n_layer(self._model))
        self._tap = LayerTap([round(depth * share) for share in DEPTHS], self.width)
        self._key = key or (self.context, self.threads)
        self._at = self._open(Shape(context, rows, BRANCHES + 1))

    def _open(self, shape: Shape) -> Context:
        try:
            return Context(self._api, self._model, shape, self.threads, self._tap.callback)
        except EngineError as error:
            raise EngineError(f"{error.message} It says: {self._last_words()}", error.remedy) from None

    @property
    def shape(self) -> Shape:
        """Of the context that is worked in."""
        return self._at.shape

    def lane(self, rows: int) -> "LocalModel":
        """The same model with a context and one thread of its own, to work beside this one.

        The weights are mapped from the same file, so they are in memory once.

        Args:
            rows: Most tokens of a forward pass.
        """
        return LocalModel(
            self.path,
            fingerprint=self.fingerprint,
            context=self.context,
            threads=1,
            prefixes=self._folder,
            rows=rows,
            key=self._key,
        )

    def _load(self) -> Any:
        api = self._api
        params = api.llama_model_default_params()
        params.n_gpu_layers = 0
        # Repacked weights cannot be memory-mapped (load 2.0 s instead of 0.3 s), read prompts at
        # two thirds of the speed here, and on CPUs with AMX the kernels behind them crash when
        # llama.cpp was compiled with GCC 12: see evals/NOTES.md.
        params.use_extra_bufts = False
        model = api.llama_model_load_from_file(os.fsencode(self.path), params)
        if not model:
            raise EngineError(
                f"llama.cpp cannot load {self.path.name}: {self._last_words()}",
                "Run 'tunewise models verify' or choose another model.",
            )
        return model

    def _last_words(self) -> str:
        return self._log.lines[-1] if self._log.lines else "it gave no reason"

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
    def turn(self, prefix: Prefix, cancel: CancelToken) -> Iterator[float]:
        """Wait for one's turn and bring a prefix into the context; seconds that this took.

        Args:
            prefix: From `prefix`.
            cancel: Stops the waiting when set.

        Raises:
            Cancelled: `cancel` was set.
        """
        with self._lock.hold(cancel):
            self._watch(cancel)
            try:
                started = time.perf_counter()
                self._restore(prefix, cancel)
                yield time.perf_counter() - started
            finally:
                self._watch(None)
                self.forget(len(prefix.head) if self._at.resident == prefix.digest else 0)

    def _watch(self, token: CancelToken | None) -> None:
        """Let llama.cpp look at the cancel flag between the operations of a forward pass.

        The callback is the C library's own `atoi` on the flag's text: it costs nanoseconds and needs
        no interpreter lock, where a Python function would be called a thousand times a token.
        """
        api = self._api
        atoi = ctypes.cast(ctypes.CDLL(None).atoi, api.ggml_abort_callback) if token else None
        address = ctypes.c_void_p(token.address if token else None)
        api.llama_set_abort_callback(self._at.handle, atoi or api.ggml_abort_callback(), address)

    def _restore(self, prefix: Prefix, cancel: CancelToken) -> None:
        """Bring the prefix into the context: from memory, else from disk, else by reading it."""
        if self._at.resident == prefix.digest:
            return
        self.forget(0)
        self._at.resident = None
        file = self._prefix_file(prefix)
        if file is None or not self._load_prefix(file, prefix):
            self.forget(0)
            self.evaluate(prefix.head, 0, cancel)
            if file is not None:
                self._save_prefix(file, prefix)
        self._at.resident = prefix.digest

    def _prefix_file(self, prefix: Prefix) -> Path | None:
        if self._folder is None:
            return None
        parts = (
            CACHE_FORMAT,
            self.fingerprint,
            prefix.digest,
            self._key[0],
            self._api.__version__,
            self._key[1],
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
            self._at.handle, str(file).encode(), 0, tokens, size, ctypes.byref(count)
        )
        return bool(loaded) and tuple(tokens[: count.value]) == prefix.head

    def _save_prefix(self, file: Path, prefix: Prefix) -> None:
        """Write a prefix file and its checksum; a folder that cannot be written costs speed only."""
        partial = file.with_suffix(f".{os.getpid()}.partial")
        size = len(prefix.head)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            tokens = (self._api.llama_token * size)(*prefix.head)
            written = self._api.llama_state_seq_save_file(self._at.handle, str(partial).encode(), 0, tokens, size)
            if not written:
                return
            digest = _file_digest(partial)
            partial.replace(file)
            file.with_suffix(".sha256").write_text(digest)
        except OSError:
            return
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    # --- forward passes -------------------------------------------------------------------------

    def forget(self, position: int) -> None:
        """Drop everything from a position on from the main sequence."""
        self._api.llama_memory_seq_rm(self._at.memory, 0, position, -1)

    def branch(self, count: int) -> None:
        """Let sequences 1 to `count` begin as copies of the main one; they share its memory."""
        for sequence in range(1, count + 1):
            self._api.llama_memory_seq_cp(self._at.memory, 0, sequence, -1, -1)

    def prune(self) -> None:
        """Drop all sequences but the main one."""
        for sequence in range(1, self.shape.sequences):
            self._api.llama_memory_seq_rm(self._at.memory, sequence, -1, -1)

    def evaluate(self, tokens: Sequence[int], position: int, cancel: CancelToken, *, look: bool = False) -> States:
        """Run the model over tokens at a position; logits of the last one are then available.

        Args:
            tokens: At least one.
            position: Place of the first in the context.
            cancel: Looked at between and inside forward passes.
            look: Also pick up the hidden states at `DEPTHS`.

        Returns:
            Hidden states, shape (layers, tokens, width); of no token without `look`.

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
        parts = []
        for start in range(0, len(tokens), CHUNK):
            chunk = tokens[start : start + CHUNK]
            first = position + start
            rows = [Row(token, first + place) for place, token in enumerate(chunk)]
            rows[-1] = replace(rows[-1], output=True)
            parts.append(self.decode(rows, cancel, look=look))
        return np.concatenate(parts, axis=1)

    def decode(self, rows: Sequence[Row], cancel: CancelToken, *, look: bool = False, leave: bool = False) -> States:
        """One forward pass.

        Args:
            rows: At most `shape.rows`.
            cancel: Looked at before and inside the pass.
            look: Also pick up the hidden states at `DEPTHS`.
            leave: End the pass behind the last of `DEPTHS`: see `LayerTap.open`.

        Returns:
            Hidden states, shape (layers, rows, width); of no row without `look`.

        Raises:
            Cancelled: `cancel` was set.
            EngineError: llama.cpp failed.
        """
        if cancel.is_set:
            raise Cancelled("Stopped.")
        batch = self._at.batch
        batch.n_tokens = len(rows)
        for place, row in enumerate(rows):
            batch.token[place] = row.token
            batch.pos[place] = row.position
            batch.n_seq_id[place] = 1 + len(row.shared)
            batch.seq_id[place][0] = row.sequence
            for number, sequence in enumerate(row.shared, start=1):
                batch.seq_id[place][number] = sequence
            batch.logits[place] = row.output
        if look:
            self._tap.open(leave=leave)
        status = self._api.llama_decode(self._at.handle, batch)
        if status == 2 or cancel.is_set:
            raise Cancelled("Stopped.")
        if status != 0:
            raise EngineError(f"The model failed with status {status}: {self._last_words()}")
        return self._tap.close() if look else np.zeros((len(DEPTHS), 0, self.width), dtype=np.float32)

    def logits(self, row: int = -1) -> NDArray[np.float32]:
        """Logits of an output row of the last pass, shape (vocabulary,); valid until the next pass."""
        pointer = self._api.llama_get_logits_ith(self._at.handle, row)
        return np.ctypeslib.as_array(pointer, shape=(self.vocabulary,))

    def close(self) -> None:
        """Free the memory; the object is of no use afterwards."""
        with self._lock.hold(CancelToken()):
            if self._model:
                self._at.close()
                self._api.llama_model_free(self._model)
                self._model = None

    @property
    def waiting(self) -> int:
        """How many questions wait for the model."""
        return self._lock.waiting


def _without_system(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Fold the system message into the first turn, for templates that know no system role."""
    first, *rest = messages
    if first["role"] != "system" or not rest:
        return list(messages)
    return [{"role": "user", "content": f"{first['content']}\n\n{rest[0]['content']}"}, *rest[1:]]


def _file_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _Log:
    """What llama.cpp complained about; it would otherwise print it."""

    def __init__(self) -> None:
        import llama_cpp

        self.lines: deque[str] = deque(maxlen=20)
        self.callback = llama_cpp.llama_log_callback(self._hear)
        llama_cpp.llama_log_set(self.callback, ctypes.c_void_p(0))

    def _hear(self, level: int, text: bytes, _: object) -> None:
        if level >= WARNING:
            self.lines.append(text.decode(errors="replace").strip())


@cache
def _listen() -> _Log:
    """The one listener of the process: llama.cpp keeps its address, so it must outlive every model."""
    return _Log()

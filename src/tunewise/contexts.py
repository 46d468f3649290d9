"""Contexts of llama.cpp: the memory in which a model works."""

from dataclasses import dataclass
from typing import Any

from tunewise.errors import EngineError


@dataclass(frozen=True)
class Shape:
    """What a context must have room for."""

    tokens: int
    """Context window."""
    rows: int
    """Most tokens of one forward pass; memory for intermediate results grows with it."""
    sequences: int
    """Most sequences, the main one included."""


class Context:
    """An open context with its batch.

    Args:
        api: The module `llama_cpp`.
        model: The loaded model.
        shape: What it must have room for.
        threads: Threads of a pass.
        callback: Called with every tensor of a pass.

    Raises:
        EngineError: llama.cpp refuses.
    """

    def __init__(self, api: Any, model: Any, shape: Shape, threads: int, callback: Any) -> None:
        self._api = api
        self.shape = shape
        self.resident: str | None = None
        """Digest of the prefix that is in it."""
        params = api.llama_context_default_params()
        params.n_ctx = shape.tokens
        params.n_batch = params.n_ubatch = max(shape.rows, shape.sequences)
        params.n_seq_max = shape.sequences
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.pooling_type = api.LLAMA_POOLING_TYPE_NONE
        params.no_perf = True
        params.cb_eval = callback
        self.handle = api.llama_init_from_model(model, params)
        if not self.handle:
            raise EngineError(
                f"llama.cpp cannot open a context of {shape.tokens} tokens.",
                "Set TUNEWISE_CONTEXT to a smaller number.",
            )
        self.memory = api.llama_get_memory(self.handle)
        self.batch = api.llama_batch_init(shape.rows, 0, shape.sequences)

    def close(self) -> None:
        """Free the memory."""
        self._api.llama_batch_free(self.batch)
        self._api.llama_free(self.handle)

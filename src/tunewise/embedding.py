"""Sentence embeddings: all-MiniLM-L6-v2 as an int8 ONNX file, run by onnxruntime.

Reimers and Gurevych 2019, "Sentence-BERT", arXiv:1908.10084: mean pooling over the last layer,
then unit length, so that a dot product is a cosine.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tunewise.errors import EngineError

WIDTH = 384
BATCH = 32
TOKENS = 256
"""Longest input in tokens; what lies behind is not embedded."""


class Embedder(Embeddings):
    """A sentence embedder; a LangChain `Embeddings`. Safe to use from several threads.

    Args:
        model: The ONNX file.
        tokenizer: Its `tokenizer.json`.
        threads: Threads of one run.

    Raises:
        EngineError: A file cannot be loaded.
    """

    def __init__(self, model: Path, tokenizer: Path, *, threads: int = 2) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
        # Both libraries raise bare exceptions of their own making.
        except Exception as error:
            raise EngineError(f"The embedder cannot be loaded: {error}", "Run 'tunewise models verify'.") from error
        self._tokenizer.enable_truncation(TOKENS)
        self._tokenizer.enable_padding()
        self._inputs = {item.name for item in self._session.get_inputs()}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; shape (len(texts), 384), every row of unit length."""
        rows = np.zeros((len(texts), WIDTH), dtype=np.float32)
        # Texts of one length beside each other need little padding.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            rows[places] = self._batch([texts[place] for place in places])
        return rows

    def words(self) -> list[str]:
        """Whole words of its vocabulary: the common words of English."""
        return [word for word in self._tokenizer.get_vocab() if word.isalpha() and word.isascii()]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """LangChain's face of `encode`."""
        return [[float(value) for value in row] for row in self.encode(texts)]

    def embed_query(self, text: str) -> list[float]:
        """LangChain's face of `encode` for one text."""
        return self.embed_documents([text])[0]

    def _batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        encodings = self._tokenizer.encode_batch(list(texts))
        mask = np.array([item.attention_mask for item in encodings], dtype=np.int64)
        feed = {
            "input_ids": np.array([item.ids for item in encodings], dtype=np.int64),
            "attention_mask": mask,
            "token_type_ids": np.array([item.type_ids for item in encodings], dtype=np.int64),
        }
        outputs = self._session.run(None, {name: feed[name] for name in self._inputs})
        states = np.asarray(outputs[0], dtype=np.float32)
        weights = mask[:, :, None].astype(np.float32)
        vectors = (states * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)

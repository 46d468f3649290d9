"""A linear map for queries and one for facts, after which a question lies near the facts that answer it.

A sentence embedder puts a question near texts that are worded like it; what answers it is worded otherwise. Two
matrices, fitted on questions that were written for the facts of the knowledge folder, turn both sides so that each
question stands nearest to its fact (contrastive loss of van den Oord et al. 2018, "Representation learning with
contrastive predictive coding", arXiv:1807.03748). Nothing of the embedder changes, so that vectors stay
as they are. Facts that no question was written for gain nothing; `ranking.woven` sees to it that they lose nothing.
`python -m evals.retrieval.adapting` fits them.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunewise.errors import ArtifactError

FILE = Path(__file__).with_name("adapter.npz")
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Adapter:
    """Both maps."""

    query: Rows
    """Added to the identity for queries, shape (384, 384)."""
    fact: Rows
    """Added to the identity for facts, shape (384, 384)."""
    digest: str
    """SHA-256 of the file."""

    @classmethod
    @lru_cache(maxsize=1)
    def shipped(cls) -> "Adapter":
        """The one that ships.

        Raises:
            ArtifactError: Its file is missing or damaged.
        """
        try:
            with np.load(FILE, allow_pickle=False) as stored:
                query, fact = (stored[name].astype(np.float32) for name in ("query", "fact"))
            return cls(query, fact, hashlib.sha256(FILE.read_bytes()).hexdigest())
        # NumPy raises whatever its parts do over a damaged archive.
        except Exception as error:
            raise ArtifactError(f"The search's adapter is damaged: {error}.", "Install Tunewise again.") from error

    def queries(self, vectors: Rows) -> Rows:
        """Embeddings of queries, shape (n, 384) or (384,), in the shared space; of length 1."""
        return _turned(vectors, self.query)

    def facts(self, vectors: Rows) -> Rows:
        """Embeddings of facts, shape (n, 384), in the shared space; of length 1."""
        return _turned(vectors, self.fact)


def _turned(vectors: Rows, weights: Rows) -> Rows:
    moved = vectors + vectors @ weights
    return np.asarray(moved / np.maximum(np.linalg.norm(moved, axis=-1, keepdims=True), 1e-9), dtype=np.float32)

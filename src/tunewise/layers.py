"""Hidden states of middle layers, through llama.cpp's evaluation callback.

What a text means stands out best in the middle of a model; the last layers prepare the next word (Alain and
Bengio 2016, arXiv:1610.01644; Skean et al. 2025, "Layer by Layer", arXiv:2502.02013). llama.cpp gives out
final states only, so those of a middle layer are picked up while they are computed.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewise.errors import EngineError

States = NDArray[np.float32]
"""Hidden states, shape (layers, tokens, width)."""


class LayerTap:
    """Collects the outputs of some layers during a forward pass.

    Args:
        layers: Numbers of the layers, counted from 0.
        width: Length of a hidden state.
    """

    def __init__(self, layers: Sequence[int], width: int) -> None:
        import llama_cpp
        from llama_cpp._ctypes_extensions import load_shared_library
        from llama_cpp._ggml import libggml_base_path

        self._places = {f"l_out-{layer}".encode(): place for place, layer in enumerate(layers)}
        self._width = width
        self._found: dict[int, States] = {}
        self._listening = False
        self._leaving = False
        self._ggml: Any = load_shared_library("ggml-base", libggml_base_path)
        self._ggml.ggml_get_name.restype = ctypes.c_char_p
        self._ggml.ggml_nelements.restype = ctypes.c_int64
        self._ggml.ggml_get_data_f32.restype = ctypes.POINTER(ctypes.c_float)
        for function in (self._ggml.ggml_get_name, self._ggml.ggml_nelements, self._ggml.ggml_get_data_f32):
            function.argtypes = [ctypes.c_void_p]
        self.callback = llama_cpp.ggml_backend_sched_eval_callback(self._hear)

    def open(self, *, leave: bool = False) -> None:
        """Listen to the next forward pass.

        Args:
            leave: Let the pass end behind the last of the layers; it then has no logits, and what it put
                into the key-value cache is of no use to later passes.
        """
        self._found.clear()
        self._listening = True
        self._leaving = leave

    def close(self) -> States:
        """Stop listening; states of every token of the pass, shape (layers, tokens, width).

        Raises:
            EngineError: The model names its layers otherwise than llama.cpp does today.
        """
        self._listening = False
        if len(self._found) < len(self._places):
            raise EngineError(
                "The model's middle layers cannot be read with this version of llama-cpp-python.",
                "Install the version that Tunewise was released with.",
            )
        return np.stack([self._found[place] for place in range(len(self._places))])

    def _hear(self, tensor: int, ask: bool, _: object) -> bool:
        """Asked before a tensor is computed whether it is wanted, and called again with its values."""
        if not self._listening:
            return not ask
        if self._leaving and len(self._found) == len(self._places):
            # Wanted and then refused: what is left of the graph ends behind its next tensor.
            return ask
        place = self._places.get(self._ggml.ggml_get_name(tensor))
        if place is not None and not ask:
            rows = self._ggml.ggml_nelements(tensor) // self._width
            values = np.ctypeslib.as_array(self._ggml.ggml_get_data_f32(tensor), shape=(rows, self._width))
            self._found[place] = values.copy()
            return not (self._leaving and len(self._found) == len(self._places))
        return place is not None or not ask

"""A look at the header of a GGUF file before llama.cpp opens it.

llama.cpp may crash on a file that was cut short or tampered with. This reads the header with every
length checked against the file's size, and compares the tensors it promises with what is there.
Format: ggml's `docs/gguf.md`, versions 2 and 3.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tunewise.errors import ArtifactError, SettingsError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_TENSORS = 100_000
MOST_ENTRIES = 100_000
MOST_DIMENSIONS = 4
FIXED = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Size in bytes of each scalar type of the metadata."""
U32, STRING, ARRAY = 4, 8, 9
ALIGNMENT = b"general.alignment"
PACKED = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip
"""Elements and bytes of a block of each tensor type, from `ggml_blck_size` and `ggml_type_size`."""
DEPTH = 4
"""Deepest nesting of arrays."""


class _Broken(Exception):
    """The header promises what is not there."""


@dataclass
class _Reader:
    stream: BinaryIO
    size: int

    def take(self, count: int) -> bytes:
        if count < 0 or self.stream.tell() + count > self.size:
            raise _Broken
        return self.stream.read(count)

    def skip(self, count: int) -> None:
        if count < 0 or self.stream.tell() + count > self.size:
            raise _Broken
        self.stream.seek(count, 1)

    def u32(self) -> int:
        return int(struct.unpack("<I", self.take(4))[0])

    def u64(self) -> int:
        return int(struct.unpack("<Q", self.take(8))[0])

    def value(self, kind: int, depth: int = 0) -> None:
        if kind in FIXED:
            self.skip(FIXED[kind])
        elif kind == STRING:
            self.skip(self.u64())
        elif kind == ARRAY and depth < DEPTH:
            inner, count = self.u32(), self.u64()
            if inner in FIXED:
                self.skip(FIXED[inner] * count)
                return
            if count > self.size:
                raise _Broken
            for _ in range(count):
                self.value(inner, depth + 1)
        else:
            raise _Broken


def check(path: Path) -> None:
    """Refuse a file that llama.cpp could not load.

    Args:
        path: A file that should be a GGUF model.

    Raises:
        SettingsError: There is no such file, or it is no GGUF file at all.
        ArtifactError: It is a GGUF file, but damaged or cut short.
    """
    try:
        if not path.is_file():
            raise SettingsError(f"There is no model file at {path}.", "'tunewise models list' shows what is known.")
        size = path.stat().st_size
        with path.open("rb") as stream:
            reader = _Reader(stream, size)
            if stream.read(4) != MAGIC:
                raise SettingsError(f"{path.name} is not a GGUF file.", "Choose a model in the GGUF format.")
            furthest = _furthest(reader)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (_Broken, struct.error):
        furthest = None
    if furthest is None or furthest > size:
        raise ArtifactError(
            f"{path.name} is damaged or cut short ({size:,} bytes).",
            "Fetch it again; 'tunewise models verify' checks the known ones.",
        )


def _furthest(reader: _Reader) -> int:
    """Where the data of the furthest tensor ends."""
    if reader.u32() not in VERSIONS:
        raise _Broken
    tensors, entries = reader.u64(), reader.u64()
    if not 0 < tensors <= MOST_TENSORS or entries > MOST_ENTRIES:
        raise _Broken
    alignment = 32
    for _ in range(entries):
        length = reader.u64()
        named = length == len(ALIGNMENT) and reader.take(length) == ALIGNMENT
        if length != len(ALIGNMENT):
            reader.skip(length)
        kind = reader.u32()
        if named and kind == U32:
            alignment = reader.u32()
        else:
            reader.value(kind)
    last = max(_end(reader) for _ in range(tensors))
    if alignment == 0:
        raise _Broken
    # The data begins at the next multiple of the alignment.
    return -(-reader.stream.tell() // alignment) * alignment + last


def _end(reader: _Reader) -> int:
    """End of a tensor, counted from the beginning of the data."""
    reader.skip(reader.u64())
    dimensions = reader.u32()
    if not 0 < dimensions <= MOST_DIMENSIONS:
        raise _Broken
    elements = 1
    for _ in range(dimensions):
        elements *= reader.u64()
    # Of a type that is not known here: none packs an element into less than one bit.
    block, size = PACKED.get(reader.u32(), (8, 1))
    return reader.u64() + elements // block * size

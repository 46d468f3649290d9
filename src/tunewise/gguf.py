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
STRING, ARRAY = 8, 9
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
    if not path.is_file():
        raise SettingsError(f"There is no model file at {path}.", "'tunewise models list' shows what is known.")
    try:
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
    """Offset of the furthest tensor of the file; data must reach beyond it."""
    if reader.u32() not in VERSIONS:
        raise _Broken
    tensors, entries = reader.u64(), reader.u64()
    if not 0 < tensors <= MOST_TENSORS or entries > MOST_ENTRIES:
        raise _Broken
    for _ in range(entries):
        reader.skip(reader.u64())
        reader.value(reader.u32())
    last = 0
    for _ in range(tensors):
        reader.skip(reader.u64())
        dimensions = reader.u32()
        if not 0 < dimensions <= MOST_DIMENSIONS:
            raise _Broken
        elements = 1
        for _ in range(dimensions):
            elements *= reader.u64()
        reader.skip(4)
        # No type packs an element into less than one bit.
        last = max(last, reader.u64() + elements // 8)
    return reader.stream.tell() + last

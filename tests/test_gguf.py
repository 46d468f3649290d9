import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewise import gguf
from tunewise.errors import ArtifactError, SettingsError, TunewiseError


def text(value):
    return struct.pack("<Q", len(value)) + value


def tiny():
    """A well-formed GGUF file with one string, one array and one tensor of 64 floats."""
    entries = text(b"general.architecture") + struct.pack("<I", 8) + text(b"tiny")
    entries += text(b"list") + struct.pack("<IIQ", 9, 4, 3) + struct.pack("<3I", 1, 2, 3)
    tensor = text(b"weight") + struct.pack("<I", 1) + struct.pack("<Q", 64) + struct.pack("<IQ", 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + entries + tensor
    return head + bytes(-len(head) % 32) + bytes(256)


@pytest.fixture
def file(tmp_path):
    def write(data):
        path = tmp_path / "model.gguf"
        path.write_bytes(data)
        return path

    return write


def test_a_whole_file_passes(file):
    gguf.check(file(tiny()))


@pytest.mark.parametrize("cut", [5, 12, 24, 40, 80, 120, -1])
def test_a_truncated_file_is_named_as_such(file, cut):
    with pytest.raises(ArtifactError, match="damaged or cut short"):
        gguf.check(file(tiny()[:cut]))


@pytest.mark.parametrize("data", [b"", b"GG", b"PK\x03\x04 a zip file", b"hello" * 100])
def test_another_file_is_no_gguf(file, data):
    with pytest.raises(SettingsError, match="not a GGUF"):
        gguf.check(file(data))


def test_a_path_that_leads_nowhere(tmp_path):
    with pytest.raises(SettingsError, match="no model file"):
        gguf.check(tmp_path / "absent.gguf")
    with pytest.raises(SettingsError, match="no model file"):
        gguf.check(tmp_path)


@settings(max_examples=400, deadline=None)
@given(noise=st.binary(max_size=200))
def test_noise_behind_the_magic_never_crashes(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("noise") / "model.gguf"
    path.write_bytes(b"GGUF" + noise)
    with pytest.raises(TunewiseError):
        gguf.check(path)


@settings(max_examples=400, deadline=None)
@given(place=st.integers(4, 150), value=st.integers(0, 255))
def test_a_changed_byte_never_crashes(tmp_path_factory, place, value):
    data = bytearray(tiny())
    data[min(place, len(data) - 1)] = value
    path = tmp_path_factory.mktemp("changed") / "model.gguf"
    path.write_bytes(bytes(data))
    try:
        gguf.check(path)
    except TunewiseError as error:
        assert error.message

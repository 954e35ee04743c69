import io
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest
from dispatcher_sdk import run_plugin
from dispatcher_sdk.loading import load_plugin
from dispatcher_sdk.models import problem
from hypothesis import given, settings
from hypothesis import strategies as st

plugin = load_plugin(str(Path(__file__).with_name("unpack_zip.py")))


def archive(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", method) as file:
        file.comment = comment
        for name, data in entries:
            file.writestr(zipfile.ZipInfo(name), data, method)
    return raw.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_files_become_children_with_their_names(method: int) -> None:
    raw = archive(("a.txt", b"one"), ("dir/b.bin", b"two"), ("dir/", b""), ("empty", b""), method=method, comment=b"hi")
    result = run_plugin(plugin, raw)
    assert [(child.filename, child.data) for child in result.children] == [("a.txt", b"one"), ("dir/b.bin", b"two")]
    assert result.values("archive_entry") == ["a.txt", "dir/b.bin", "empty"]
    assert result.values("archive_comment") == ["hi"]
    assert result.status == "completed"
    assert problem(result.event) is None


def test_hostile_and_repeated_names_are_only_text(tmp_path: Path) -> None:
    names = ["../../evil", "/etc/passwd", "C:\\x", "same", "same", "new\nline\x1b[31m", "x" * 3000]
    with pytest.warns(UserWarning, match="Duplicate"):
        raw = archive(*((name, name.encode() + bytes([index])) for index, name in enumerate(names)))
    result = run_plugin(plugin, raw)
    assert len(result.children) == len(names)
    assert result.children[0].filename == "../../evil"
    assert result.status == "completed"


def test_a_bomb_is_stopped_while_it_unpacks() -> None:
    raw = archive(("small", b"kept"), ("bomb", bytes(40 * 1024 * 1024)), ("after", b"never reached"))
    result = run_plugin(plugin, raw)
    assert result.status == "completed-with-errors"
    assert [child.filename for child in result.children] == ["small"]
    assert "'bomb' unpacks past the limit" in result.message


def test_claimed_sizes_are_not_believed() -> None:
    raw = bytearray(archive(("bomb", bytes(40 * 1024 * 1024))))
    place = raw.rindex(b"PK\x01\x02")
    struct.pack_into("<I", raw, place + 24, 10)
    result = run_plugin(plugin, bytes(raw))
    assert result.status == "completed-with-errors"
    assert not result.children


def test_many_entries_are_bounded() -> None:
    result = run_plugin(plugin, archive(*((f"{n}", b"%d" % n) for n in range(1_200)), method=zipfile.ZIP_STORED))
    assert result.status == "completed-with-errors"
    assert len(result.children) <= 1_000
    assert "1200 entries" in result.message


def test_an_archive_far_down_is_named_but_not_opened() -> None:
    event = run_plugin(plugin, archive(("a", b"b"))).event.entity.input
    event.source.path = event.source.path * 9
    result = run_plugin(plugin, archive(("a", b"b")), event=event)
    assert (result.status, result.children) == ("completed-with-errors", [])
    assert result.values("archive_entry") == ["a"]


def test_a_huge_directory_is_refused_before_it_is_read() -> None:
    raw = bytearray(archive(("a", b"b")))
    struct.pack_into("<I", raw, raw.rindex(b"PK\x05\x06") + 12, 0x7FFFFFFF)
    result = run_plugin(plugin, bytes(raw))
    assert result.status == "error-input"
    assert "directory" in result.message


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_archive_is_an_input_error(cut: float) -> None:
    raw = archive(("a", bytes(range(256)) * 40))
    result = run_plugin(plugin, raw[: int(len(raw) * cut)])
    assert result.status == "error-input"


def test_a_damaged_entry_does_not_take_the_others_along() -> None:
    raw = bytearray(archive(("bad", b"A" * 100), ("good", b"B" * 100), method=zipfile.ZIP_STORED))
    raw[raw.index(b"AAAA") + 10] ^= 0xFF
    result = run_plugin(plugin, bytes(raw))
    assert result.status == "completed-with-errors"
    assert [child.filename for child in result.children] == ["good"]
    assert "'bad'" in result.message


def encrypted(data: bytes, password: bytes) -> bytes:
    """The classic ZIP cipher, which Python reads but does not write (APPNOTE 6.1)."""
    table = [0] * 256
    for index in range(256):
        value = index
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        table[index] = value
    keys = [0x12345678, 0x23456789, 0x34567890]

    def update(byte: int) -> None:
        keys[0] = table[(keys[0] ^ byte) & 255] ^ keys[0] >> 8
        keys[1] = ((keys[1] + (keys[0] & 255)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = table[(keys[2] ^ keys[1] >> 24) & 255] ^ keys[2] >> 8

    def encrypt(byte: int) -> int:
        low = keys[2] & 0xFFFF | 2
        cipher = byte ^ (low * (low ^ 1) >> 8) & 255
        update(byte)
        return cipher

    raw = bytearray(archive(("secret.txt", data), method=zipfile.ZIP_STORED))
    checksum = struct.unpack_from("<I", raw, 14)[0]
    for byte in password:
        update(byte)
    body = bytes(encrypt(byte) for byte in bytes(11) + bytes([checksum >> 24]) + data)
    name_end = 30 + len("secret.txt")
    central = raw.index(b"PK\x01\x02")
    for flags, size in ((6, 18), (central + 8, central + 20)):
        struct.pack_into("<H", raw, flags, 1)
        struct.pack_into("<I", raw, size, len(body))
    struct.pack_into("<I", raw, raw.index(b"PK\x05\x06") + 16, name_end + len(body))
    return bytes(raw[:name_end]) + body + bytes(raw[central:])


@pytest.mark.parametrize(("password", "setting"), [("infected", ""), ("s3cret", "no;s3cret;never")])
def test_encrypted_entries_open_with_known_passwords(password: str, setting: str) -> None:
    result = run_plugin(plugin, encrypted(b"hidden text", password.encode()), settings={"passwords": setting})
    assert [child.data for child in result.children] == [b"hidden text"]
    assert result.values("archive_password") == [password]
    assert result.values("archive_encrypted") == ["1"]
    assert result.status == "completed"


def test_an_unknown_password_is_said_plainly() -> None:
    result = run_plugin(plugin, encrypted(b"hidden text", b"unguessable"))
    assert result.status == "completed-with-errors"
    assert not result.children
    assert "'secret.txt' is encrypted and none of 1 passwords opens it" in result.message


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_damage_raises_anything_unexpected(data: st.DataObject) -> None:
    raw = bytearray(archive(("a", b"A" * 300), ("b/c", b"B" * 300), comment=b"c"))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    result = run_plugin(plugin, bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    assert result.status in {"completed", "completed-empty", "completed-with-errors", "error-input"}, result


def test_an_archive_of_real_files_made_by_a_real_tool(tmp_path: Path) -> None:
    library = Path(io.__file__).parent / "json"
    sources = sorted(path for path in library.glob("*.py"))
    zipped = tmp_path / "library.zip"
    if shutil.which("zip"):
        subprocess.run(["zip", "-q", "-j", str(zipped), *map(str, sources)], check=True)
    else:
        shutil.make_archive(str(zipped.with_suffix("")), "zip", library)
    result = run_plugin(plugin, zipped)
    found = {Path(child.filename).name: child.data for child in result.children}
    assert result.status == "completed"
    for path in sources:
        assert found[path.name] == path.read_bytes()

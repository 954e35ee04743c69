"""The files inside ZIP archives as children, within limits that a bomb cannot pass."""

import struct
import zipfile
from pathlib import Path
from typing import BinaryIO, Final

from dispatcher_sdk import Feature, InputError, Job, Plugin

MIB: Final = 1024 * 1024
DEPTH: Final = 8
"""Steps from the submitted file; an archive deeper down is named, not opened."""
ENTRIES: Final = 1_000
RATIO: Final = 200
LEAST_BYTES: Final = 32 * MIB
MOST_BYTES: Final = 512 * MIB
DECRYPTED_BYTES: Final = 16 * MIB
"""Python's cipher does about one MiB a second."""
DIRECTORY_BYTES: Final = 16 * MIB
"""Python reads an archive's whole directory into memory, at many times its size."""
USUAL_PASSWORDS: Final = ("infected",)
_CHUNK: Final = 256 * 1024
_ENCRYPTED: Final = 0x1
_END: Final = b"PK\x05\x06"
_END64: Final = b"PK\x06\x06"

plugin = Plugin(
    "unpack-zip",
    version="1.0",
    description="The files inside ZIP archives",
    accepts=["archive/zip", "java/jar", "android/apk"],
    include_self=True,
    features=[
        Feature("archive_entry", Path, "Name of an entry of the archive"),
        Feature("archive_comment", str, "Comment of the archive"),
        Feature("archive_encrypted", int, "Number of encrypted entries"),
        Feature("archive_password", str, "A password that opened an entry"),
    ],
)


@plugin.execute
def execute(job: Job) -> None:
    with job.open() as file:
        if directory_size(file) > DIRECTORY_BYTES:
            raise InputError(f"the directory of the archive is larger than {DIRECTORY_BYTES} bytes")
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as problem:
            raise InputError(f"not a readable ZIP archive: {problem}") from problem
        with archive:
            Unpacking(job, archive).run()


class Unpacking:
    """One archive on its way to its children, with what is left of each limit."""

    def __init__(self, job: Job, archive: zipfile.ZipFile) -> None:
        self._job = job
        self._archive = archive
        self._room = min(MOST_BYTES, max(LEAST_BYTES, RATIO * job.size))
        self._cipher_room = DECRYPTED_BYTES
        self._passwords = [*filter(None, job.settings.get("passwords", "").split(";")), *USUAL_PASSWORDS]

    def run(self) -> None:
        entries = [entry for entry in self._archive.infolist() if not entry.is_dir()]
        self._describe(entries)
        if self._job.depth > DEPTH:
            self._job.add_problem(f"an archive {self._job.depth} levels down is not opened: at most {DEPTH}")
            return
        if len(entries) > ENTRIES:
            self._job.add_problem(f"{len(entries)} entries: only the first {ENTRIES} are taken out")
        for index, entry in enumerate(entries[:ENTRIES]):
            if self._room <= 0:
                self._job.add_problem(f"unpacks to more than its limit: {len(entries) - index} entries are left out")
                return
            self._take(entry, self._job.folder / str(index))

    def _describe(self, entries: list[zipfile.ZipInfo]) -> None:
        for entry in entries[:ENTRIES]:
            self._job.add_feature("archive_entry", entry.filename)
        encrypted = sum(1 for entry in entries if entry.flag_bits & _ENCRYPTED)
        if encrypted:
            self._job.add_feature("archive_encrypted", encrypted)
        if self._archive.comment:
            self._job.add_feature("archive_comment", self._archive.comment[:4000].decode("utf-8", "backslashreplace"))

    def _take(self, entry: zipfile.ZipInfo, target: Path) -> None:
        """Make one entry a child; anything wrong with it is noted and the next one is tried."""
        try:
            complete = self._unpack(entry, target)
        except Exception as problem:  # hostile archives raise a dozen kinds from zipfile, zlib, bz2, lzma and struct
            self._job.add_problem(f"entry {entry.filename!r}: {type(problem).__name__}: {problem}")
            complete = False
        if complete and target.stat().st_size:
            self._job.add_child(target, relationship={"action": "unzipped"}, filename=entry.filename)
        target.unlink(missing_ok=True)

    def _unpack(self, entry: zipfile.ZipInfo, target: Path) -> bool:
        """Write the entry to `target`; False when it was left out, which is noted. Raises what zipfile raises."""
        if not entry.flag_bits & _ENCRYPTED:
            return self._copy(entry, target, None)
        if entry.compress_size > self._cipher_room:
            self._job.add_problem(f"entry {entry.filename!r} is encrypted and past {DECRYPTED_BYTES} bytes together")
            return False
        for password in self._passwords:
            self._cipher_room -= entry.compress_size
            if self._opens(entry, target, password):
                self._job.add_feature("archive_password", password)
                return True
        self._job.add_problem(
            f"entry {entry.filename!r} is encrypted and none of {len(self._passwords)} passwords opens it"
        )
        return False

    def _opens(self, entry: zipfile.ZipInfo, target: Path, password: str) -> bool:
        """A wrong password passes the archive's own check once in 256 times; then the checksum fails."""
        try:
            return self._copy(entry, target, password.encode())
        except NotImplementedError:
            raise
        except Exception:
            return False

    def _copy(self, entry: zipfile.ZipInfo, target: Path, password: bytes | None) -> bool:
        """Whatever size the archive claims, no more is written than there is room for."""
        with self._archive.open(entry, pwd=password) as source, target.open("wb") as copy:
            while chunk := source.read(_CHUNK):
                self._room -= len(chunk)
                if self._room < 0:
                    self._job.add_problem(f"entry {entry.filename!r} unpacks past the limit and is left out")
                    return False
                copy.write(chunk)
        return True


def directory_size(file: BinaryIO) -> int:
    """Bytes of the central directory as the end record claims; 0 when there is none (zipfile will say so)."""
    size = file.seek(0, 2)
    start = max(0, size - 65_557)
    file.seek(start)
    tail = file.read()
    file.seek(0)
    end = tail.rfind(_END)
    if end < 0 or len(tail) < end + 22:
        return 0
    (claimed,) = struct.unpack_from("<I", tail, end + 12)
    end64 = end - 20 - 56
    if end64 >= 0 and tail[end64 : end64 + 4] == _END64:
        (claimed,) = struct.unpack_from("<Q", tail, end64 + 40)
    return int(claimed)

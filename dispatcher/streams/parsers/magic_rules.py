"""Ordered rules that read libmagic's words: what its MIME types alone cannot tell apart.

The first rule that matches decides. A rule's words are tried on every description, then its MIME pattern on every
MIME type, both in lower case. Wordings of libmagic 5.41 to 5.48 are covered.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from dispatcher.streams.taxonomy import CSV, PLAIN, UNKNOWN


class Rule(NamedTuple):
    file_format: str
    words: str
    mime: str = ""


_PE = "executable/windows/"
_ELF = "executable/linux/"

RULES = (
    Rule(_PE + "dll64", r"^pe32\+ .*\(dll\)"),
    Rule(_PE + "pe64", r"^pe32\+ "),
    Rule(_PE + "dll32", r"^pe32 .*\(dll\)"),
    Rule(_PE + "pe32", r"^pe32 "),
    Rule(_PE + "com", r"^(dos|com) executable .*\bcom\b|^dos executable \(com|^com executable for"),
    Rule(_PE + "dos", r"^(ms-dos executable|dos executable|mz for ms-dos|\w+ executable,? for ms-dos)"),
    Rule(_ELF + "elf64", r"^elf 64-bit .*(pie executable|interpreter|\bexecutable,)"),
    Rule(_ELF + "elf32", r"^elf 32-bit .*(pie executable|interpreter|\bexecutable,)"),
    Rule(_ELF + "so64", r"^elf 64-bit .*shared object"),
    Rule(_ELF + "so32", r"^elf 32-bit .*shared object"),
    Rule(_ELF + "elf64", r"^elf 64-bit "),
    Rule(_ELF + "elf32", r"^elf 32-bit "),
    Rule(_ELF + "coff64", r"coff object.*(x86-64|amd64|64-bit)|(x86-64|amd64) coff object"),
    Rule(_ELF + "coff32", r"coff object"),
    Rule("executable/mach-o", r"^mach-o (?!universal binary with .*java)"),
    Rule("android/dex", r"^dalvik dex file"),
    Rule("android/apk", r"^android (application )?package"),
    Rule("java/jar", r"^java archive data"),
    Rule("java/class", r"^compiled java class data"),
    Rule("wasm/module", r"^webassembly \(wasm\) binary module"),
    Rule("python/bytecode", r"^(byte-compiled python module|python [\d.]+ byte-compiled)"),
    Rule("document/installer/windows", r"^composite document file.*(windows installer|installation database|: msi)"),
    Rule("document/office/email", r"^(cdfv2 microsoft outlook message|microsoft outlook (email|message))"),
    Rule("document/office/visio", r"^(composite document file.*visio|microsoft visio)"),
    Rule("document/office/word", r"^(composite document file.*microsoft (office )?word|microsoft (office )?word)"),
    Rule("document/office/excel", r"^(composite document file.*microsoft (office )?excel|microsoft (office )?excel)"),
    Rule("document/office/powerpoint", r"^(composite document file.*powerpoint|microsoft (office )?powerpoint)"),
    Rule("document/office/hwp", r"^hangul \(korean\) word processor"),
    Rule("document/office/onenote", r"^microsoft onenote"),
    Rule("document/office/rtf", r"^rich text format"),
    Rule("document/office/ole", r"^(composite document file|cdfv2|ole 2 compound document)"),
    Rule("document/pdf", r"^pdf document"),
    Rule("meta/shortcut/windows", r"^ms windows shortcut"),
    Rule("system/registry/hive", r"^ms windows registry file"),
    Rule("system/registry/text", r"^windows registry (little-endian )?text"),
    Rule("system/windows/evt", r"^ms windows (\w+ )?event log"),
    Rule("system/windows/minidump", r"^mini ?dump crash report"),
    Rule("resource/pe", r"^msvc \.res"),
    Rule("archive/chm", r"^ms windows htmlhelp data"),
    Rule("archive/cabinet", r"^microsoft cabinet archive|^installshield cab"),
    Rule("archive/udf", r"^udf filesystem data"),
    Rule("archive/iso", r"^iso 9660"),
    Rule("archive/vhd", r"^microsoft disk image"),
    Rule("archive/asar", r"^electron asar archive"),
    Rule("archive/lz4", r"^lz4 compressed data"),
    Rule("archive/zstd", r"^zstandard compressed data"),
    Rule("db/access", r"^microsoft access database"),
    Rule("db/sqlite", r"^sqlite 3\.x database"),
    Rule("network/tcpdump", r"^(pcap-?ng|pcap|tcpdump|extended tcpdump) capture file"),
    Rule("pgp/privkey", r"^(pgp private key|openpgp (secret|private) key)"),
    Rule("pgp/pubkey", r"^(pgp public key|openpgp public key)"),
    Rule("pgp/encrypted", r"^(pgp (rsa )?encrypted|pgp message|openpgp .*encrypted)"),
    Rule("certificate/pem", r"^(pem certificate|pem (rsa|dsa|ec) private key|openssh private key)"),
    Rule("video/flash", r"^macromedia flash data"),
    Rule("video/asf", r"^microsoft asf"),
    Rule("image/emf", r"^windows enhanced metafile"),
    Rule("image/wmf", r"^(windows metafile|targa .*wmf)"),
    Rule("code/hta", r"^html application"),
    Rule("code/php", r"^php script"),
    Rule("code/python", r"^(a )?(\S*/)?python[\d.]* script"),
    Rule("code/javascript", r"^(javascript source|node\.js script|(\S*/)?node[\w.]* script)"),
    Rule("code/shell", r"^(posix|bourne-again|korn|tenex c|paul falstad's zsh) shell script|^(\S*/)?\w*sh script"),
    Rule("code/perl", r"^(\S*/)?perl[\d.]* script|^perl5 module source"),
    Rule("code/ruby", r"^(\S*/)?ruby[\d.]* script"),
    Rule("code/batch", r"^dos batch file"),
    Rule("code/ps1", r"^(\S*/)?(pwsh|powershell) script"),
    Rule("image/svg", r"^svg (scalable vector graphics image|xml document)"),
    Rule("text/json", r"^(json|new line delimited json) text data|^json data"),
    Rule("code/xml", r"^xml [\d.]+ document"),
    Rule("code/ini", r"^(windows setup information|generic initialization configuration)"),
    Rule("document/email", r"^(smtp mail|rfc 822 mail|news or mail|mail forwarding|mime entity)"),
    Rule("document/tex", r"^(la)?tex (2e )?document"),
    Rule(CSV, r"^csv (\S+ )?text"),
    Rule(
        PLAIN,
        r"^(ascii|utf-8|iso-8859|non-iso extended-ascii|(big|little)-endian utf-16|unicode) .*?text"
        r"|^(ascii|iso-8859|utf-8 unicode) text",
        r"^text/plain$",
    ),
)


class _Compiled(NamedTuple):
    file_format: str
    words: re.Pattern[str]
    mime: re.Pattern[str] | None


@cache
def _compiled() -> tuple[_Compiled, ...]:
    return tuple(
        _Compiled(rule.file_format, re.compile(rule.words), re.compile(rule.mime) if rule.mime else None)
        for rule in RULES
    )


def first_match(magics: Sequence[str], mimes: Sequence[str]) -> str:
    """The format that the first matching rule names, else `unknown`."""
    lower_magics = [text.lower() for text in magics]
    lower_mimes = [text.lower() for text in mimes]
    for rule in _compiled():
        if any(rule.words.search(text) for text in lower_magics):
            return rule.file_format
        if rule.mime and any(rule.mime.search(text) for text in lower_mimes):
            return rule.file_format
    return UNKNOWN

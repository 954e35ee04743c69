"""The command line: `dispatcher-sdk run` on files, and how a plugin is found."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from dispatcher_sdk import DefinitionError
from dispatcher_sdk.cli import main
from dispatcher_sdk.loading import load_plugin

SOURCE = """
job.add_feature('word', data.decode('latin-1'), offset=1, size=2, label='l')
job.add_child(b'kid', relationship={'how': 'cut'}, filename='k\\x1b[31m.txt')
job.add_stream('text', b'as text')
job.add_info({'n': 1})
if data == b'bad': raise InputError('half')
"""


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample.bin"
    path.write_bytes(b"hello\x1b]0;title\x07\n")
    return path


def test_a_run_shows_what_was_found_and_no_control_character(write_plugin: Callable[[str], str], sample: Path) -> None:
    result = CliRunner().invoke(main, ["run", write_plugin(SOURCE), str(sample)])
    assert result.exit_code == 0
    for shown in (
        "completed",
        "features (1)",
        "children (1)",
        "how=cut",
        "streams (1)",
        '{"n":1}',
        "hello\\x1b]0;title\\x07",
    ):
        assert shown in result.output
    assert "\x1b" not in result.output


def test_json_is_one_object_a_file_and_an_error_sets_the_exit_code(
    write_plugin: Callable[[str], str], sample: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(b"bad")
    result = CliRunner().invoke(main, ["run", "--json", write_plugin(SOURCE), str(sample), str(bad)])
    first, second = map(json.loads, result.output.splitlines())
    assert result.exit_code == 1
    assert (first["status"], first["children"][0]["filename"], first["info"]) == (
        "completed",
        "k\x1b[31m.txt",
        {"n": 1},
    )
    assert first["features"][0]["offset"] == 1
    assert (second["status"], second["message"], second["features"]) == ("error-input", "half", [])


def test_settings_and_format_reach_the_plugin(write_plugin: Callable[[str], str], sample: Path) -> None:
    plugin = write_plugin("job.add_feature('word', job.settings['passwords'] + job.file_format)")
    options = ["--setting", "passwords=a;b", "--format", "archive/zip"]
    assert "a;barchive/zip" in CliRunner().invoke(main, ["run", *options, plugin, str(sample)]).output
    assert CliRunner().invoke(main, ["run", "--setting", "x", plugin, str(sample)]).exit_code == 2


@pytest.mark.parametrize(
    ("source", "cure"),
    [
        ("x = 1", "plugin = Plugin("),
        ("from dispatcher_sdk import Plugin\na = Plugin('a', version='1')\nb = Plugin('b', version='1')", "name one"),
        ("from dispatcher_sdk import Plugin\na = Plugin('a', version='1')", "@plugin.execute"),
    ],
)
def test_a_file_without_one_whole_plugin_says_what_to_do(tmp_path: Path, sample: Path, source: str, cure: str) -> None:
    (tmp_path / "some_plugin.py").write_text(source)
    result = CliRunner().invoke(main, ["run", str(tmp_path / "some_plugin.py"), str(sample)])
    assert result.exit_code == 1
    assert cure in result.output


def test_a_plugin_is_found_by_module_and_attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from dispatcher_sdk import Plugin\n"
    for name in ("first", "second"):
        text += f"{name} = Plugin({name!r}, version='1')\n@{name}.execute\ndef execute(job): pass\n"
    (tmp_path / "found_by_name.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_plugin("found_by_name:second").name == "second"
    for target, cure in (
        ("found_by_name", "first, second"),
        ("found_by_name:third", "not a Plugin"),
        ("nowhere", "install"),
    ):
        with pytest.raises(DefinitionError, match=cure):
            load_plugin(target)


def test_a_mistake_inside_the_plugin_is_not_hidden(tmp_path: Path) -> None:
    (tmp_path / "mistaken.py").write_text("import a_module_that_is_missing")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_missing"):
        load_plugin(str(tmp_path / "mistaken.py"))


def test_the_command_starts_fast_and_without_network_code(write_plugin: Callable[[str], str], sample: Path) -> None:
    script = (
        "import sys, runpy, dispatcher_sdk.cli as c\n"
        "try: c.main()\nexcept SystemExit: pass\n"
        "assert 'aiohttp' not in sys.modules"
    )
    plugin = write_plugin("pass")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", script, "run", plugin, str(sample)], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5

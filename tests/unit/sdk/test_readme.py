"""The README's plugin and its test are run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[3] / "sdk" / "README.md"


def test_the_plugin_of_the_readme_passes_the_test_of_the_readme(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", README.read_text(), re.DOTALL)
    assert [name for name, _ in blocks] == ["plugin.py", "test_plugin.py"]
    for name, code in blocks:
        (tmp_path / name).write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_plugin.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout + done.stderr

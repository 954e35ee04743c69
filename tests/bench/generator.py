"""A load generator in a process of its own, asked line by line: the server must not pay for it."""

import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

READY = "READY"


class Generator:
    """`with Generator("load", ...) as generator:` runs `tests.bench.load`. It says READY, then answers questions."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._module = module
        self._command = [sys.executable, "-m", f"tests.bench.{module}", *arguments]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions, self._answers = self._process.stdin, self._process.stdout
        try:
            if self._answers.readline().strip() != READY:
                raise RuntimeError(f"{self._module}: the load generator failed before it began")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def ask(self, do: str, **how: Any) -> dict[str, Any]:
        """Do it, and say what came of it."""
        self.begin(do, **how)
        return self.answer()

    def begin(self, do: str, **how: Any) -> None:
        """The same without waiting for the answer."""
        self._questions.write(json.dumps({"do": do, **how}) + "\n")
        self._questions.flush()

    def answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise RuntimeError(f"{self._module}: the load generator failed")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._questions.close()
        self._answers.close()

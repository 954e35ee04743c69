"""A plugin whose jobs say that they have begun and then wait for a gate to open."""

import os
import time
from pathlib import Path

from dispatcher_sdk import Job, Plugin

plugin = Plugin("gated", version="1.0", accepts=["*"])


@plugin.execute
def execute(job: Job) -> None:
    folder = Path(os.environ["GATE"])
    (folder / f"begun-{job.event.entity.sha256}").touch()
    while not (folder / "open").exists():
        time.sleep(0.02)

"""A plugin that wants every file and finds nothing: one more subscriber, under the name that it is given.

Some files, always the same ones, take it SLOW_SECONDS: they are still being worked on when somebody takes over.
"""

import os
import time

from dispatcher_sdk import Job, Plugin

plugin = Plugin(os.environ.get("READER", "reader"), version="1.0", accepts=["*"])


@plugin.execute
def execute(job: Job) -> None:
    job.read()
    if job.event.entity.sha256.startswith(os.environ["SLOW_FILES"]):
        time.sleep(float(os.environ["SLOW_SECONDS"]))

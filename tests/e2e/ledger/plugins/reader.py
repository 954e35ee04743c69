"""A plugin that wants every file and finds nothing: one more subscriber, under the name that it is given.

Files that ask for it take it SLOW_SECONDS: they are still being worked on when somebody takes over.
"""

import os
import time

from dispatcher_sdk import Job, Plugin

plugin = Plugin(os.environ.get("READER", "reader"), version="1.0", accepts=["*"])


@plugin.execute
def execute(job: Job) -> None:
    if job.read().startswith(b"Take your time"):
        time.sleep(float(os.environ["SLOW_SECONDS"]))

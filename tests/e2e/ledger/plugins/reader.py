"""A plugin that wants every file and finds nothing: one more subscriber, under the name that it is given."""

import os

from dispatcher_sdk import Job, Plugin

plugin = Plugin(os.environ.get("READER", "reader"), version="1.0", accepts=["*"])


@plugin.execute
def execute(job: Job) -> None:
    job.read()

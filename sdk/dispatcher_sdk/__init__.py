"""Write analysis plugins for the Azul dispatcher.

A plugin needs `Plugin`, `Feature` and `Job`; its test needs `run_plugin`. Importing this package reads no
network code, so that a plugin starts fast.
"""

from dispatcher_sdk.errors import (
    DefinitionError,
    InputError,
    NetworkError,
    OptOut,
    OutputError,
    RetryLater,
    SdkError,
)
from dispatcher_sdk.features import URI, Feature
from dispatcher_sdk.job import Child, Job
from dispatcher_sdk.plugin import Plugin
from dispatcher_sdk.testing import PluginResult, run_plugin

__all__ = [
    "URI",
    "Child",
    "DefinitionError",
    "Feature",
    "InputError",
    "Job",
    "NetworkError",
    "OptOut",
    "OutputError",
    "Plugin",
    "PluginResult",
    "RetryLater",
    "SdkError",
    "run_plugin",
]

"""Settings: one table, read from the environment."""

from dispatcher.settings.load import Loaded, load
from dispatcher.settings.table import Settings

__all__ = ["Loaded", "Settings", "load"]

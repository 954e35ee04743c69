"""Find the plugin that a command line names: a file, or `package.module`, or `package.module:attribute`."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from dispatcher_sdk.errors import DefinitionError
from dispatcher_sdk.plugin import Plugin


def load_plugin(target: str) -> Plugin:
    """The one Plugin of a Python file or module, complete and checked.

    The file's folder becomes importable, as if the file were run. Raises DefinitionError when there is no such
    plugin; what the module itself raises while it is imported is not caught.
    """
    if target.endswith(".py") or "/" in target:
        return _only_plugin(_from_file(Path(target)), target).check()
    name, _, attribute = target.partition(":")
    module = _from_name(name)
    if not attribute:
        return _only_plugin(module, target).check()
    found = getattr(module, attribute, None)
    if not isinstance(found, Plugin):
        raise DefinitionError(f"{target} is not a Plugin but {type(found).__name__}: name the variable that holds it")
    return found.check()


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise DefinitionError(f"there is no file {path}: give the path of the Python file that holds the plugin")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise DefinitionError(f"{path} is not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _from_name(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is None or not (name + ".").startswith(problem.name + "."):
            raise
        raise DefinitionError(
            f"there is no module {problem.name!r}: install its package, or give the path of a .py file"
        ) from None


def _only_plugin(module: ModuleType, target: str) -> Plugin:
    found = {id(value): (name, value) for name, value in vars(module).items() if isinstance(value, Plugin)}
    if not found:
        raise DefinitionError(f"{target} holds no plugin: write plugin = Plugin('name', version='1.0', …) in it")
    if len(found) > 1:
        names = ", ".join(sorted(name for name, _ in found.values()))
        raise DefinitionError(f"{target} holds several plugins ({names}): name one, as module:{names.split(',')[0]}")
    return next(iter(found.values()))[1]

"""Is this package's way of hooking in right? Asked before pluggy sees it.

pluggy leaves a plugin registered after its own check has failed, and ignores what it does not know: a
misspelt hook would never be called and nobody would learn why.
"""

import inspect
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any, Final

from dispatcher.hooks.specs import HOOKS, PROJECT

_ARGUMENTS: Final = {hook.__name__: tuple(inspect.signature(hook).parameters) for hook in HOOKS}


class Refused(Exception):
    """A hook package is wrong; the text says what is and how to put it right."""


def hooks_of(plugin: object) -> tuple[str, ...]:
    """Names of the hooks that `plugin` (a module or an object) implements. Raises Refused."""
    if inspect.isclass(plugin):
        raise Refused(f"{plugin.__name__} is a class: give an instance, {plugin.__name__}()")
    hooks = []
    for attribute, function, options in _candidates(plugin):
        if options is None:
            raise Refused(f"{attribute} is named like a hook but not marked: put @hookimpl above it")
        hooks.append(_checked(attribute, function, options))
    if not hooks:
        raise Refused(f"has no hooks: mark a function with @hookimpl, for example {HOOKS[0].__name__}")
    return tuple(sorted(set(hooks)))


def _candidates(plugin: object) -> Iterator[tuple[str, Callable[..., Any], dict[str, Any] | None]]:
    """(attribute, function, its marker's options) of what is marked, or looks as if it should be."""
    for attribute in dir(plugin):
        function = getattr(plugin, attribute, None)
        if not inspect.isroutine(function) or hasattr(function, f"{PROJECT}_spec"):
            continue
        options = getattr(function, f"{PROJECT}_impl", None)
        if options is not None or attribute in _ARGUMENTS:
            yield attribute, function, options


def _checked(attribute: str, function: Callable[..., Any], options: dict[str, Any]) -> str:
    hook = options["specname"] or attribute
    if hook not in _ARGUMENTS:
        raise Refused(f"there is no hook {hook}{_did_you_mean(hook, _ARGUMENTS)}")
    if options["wrapper"] or options["hookwrapper"]:
        raise Refused(f"{attribute} is a wrapper: hooks register objects, they do not wrap each other")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise Refused(
            f"{attribute} is async: hooks are plain functions called once; their objects have the async methods"
        )
    _check_arguments(attribute, function, _ARGUMENTS[hook])
    return hook


def _check_arguments(attribute: str, function: Callable[..., Any], known: tuple[str, ...]) -> None:
    """pluggy passes arguments by name, and never those that have a default."""
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY):
            raise Refused(f"{attribute} takes {parameter}: name the arguments it needs ({', '.join(known)})")
        if name not in known and parameter.default is parameter.empty:
            raise Refused(f"{attribute} has no argument {name}{_did_you_mean(name, known)}")
        if name in known and parameter.default is not parameter.empty:
            raise Refused(f"{attribute}: {name} has a default, so it would never be passed: remove the default")


def _did_you_mean(word: str, known: Any) -> str:
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else f": the names are {', '.join(known)}"

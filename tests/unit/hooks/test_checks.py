"""A package that hooks in wrongly is told what to change."""

import types

import pytest

from dispatcher.hooks import hookimpl
from dispatcher.hooks.checks import Refused, hooks_of


def module(**functions):
    made = types.ModuleType("my_hooks")
    for name, function in functions.items():
        setattr(made, name, function)
    return made


def unmarked():
    """A new function each time: @hookimpl leaves its mark on the one that it is given."""
    return lambda context: []


def complaint(plugin):
    with pytest.raises(Refused) as refused:
        hooks_of(plugin)
    return str(refused.value)


def test_hooks_of_a_module_and_of_an_object():
    class Both:
        @hookimpl
        def register_filters(self, context):
            return []

        @hookimpl(tryfirst=True)
        def register_enrichers(self):
            return []

    assert hooks_of(Both()) == ("register_enrichers", "register_filters")
    assert hooks_of(module(register_stores=hookimpl(lambda context: {}))) == ("register_stores",)
    assert hooks_of(module(mine=hookimpl(unmarked(), specname="register_filters"))) == ("register_filters",)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("register_filter", "register_filters"),
        ("registerFilters", "register_filters"),
        ("register_enricher", "register_enrichers"),
        ("regsiter_stores", "register_stores"),
    ],
)
def test_a_misspelt_hook(name, meant):
    assert (
        complaint(module(**{name: hookimpl(lambda context: [])})) == f"there is no hook {name}: did you mean {meant}?"
    )


def test_a_hook_far_from_any_name_is_shown_all_names():
    assert "register_filters, register_enrichers, register_stores" in complaint(module(zzz=hookimpl(lambda: [])))


def test_a_misspelt_specname():
    plugin = module(mine=hookimpl(unmarked(), specname="register_filtres"))
    assert "did you mean register_filters?" in complaint(plugin)


def test_a_forgotten_marker():
    assert "put @hookimpl above it" in complaint(module(register_filters=unmarked()))


def test_a_package_without_hooks():
    assert "has no hooks" in complaint(module(helper=unmarked()))
    assert "has no hooks" in complaint(object())


def test_importing_the_specification_itself_is_no_hook():
    from dispatcher.hooks import specs

    assert "has no hooks" in complaint(module(register_filters=specs.register_filters))


def test_a_class_instead_of_an_instance():
    class Mine:
        @hookimpl
        def register_filters(self, context):
            return []

    assert complaint(Mine) == "Mine is a class: give an instance, Mine()"


@pytest.mark.parametrize(
    ("function", "cure"),
    [
        (lambda contxt: [], "has no argument contxt: did you mean context?"),
        (lambda context, zzzz: [], "has no argument zzzz"),
        (lambda context=None: [], "remove the default"),
        (lambda *args: [], "name the arguments it needs"),
        (lambda **kwargs: [], "name the arguments it needs"),
        (lambda *, context: [], "name the arguments it needs"),
    ],
)
def test_wrong_arguments(function, cure):
    assert cure in complaint(module(register_filters=hookimpl(function)))


def test_an_async_hook():
    async def register_filters(context):
        return []

    assert "hooks are plain functions" in complaint(module(register_filters=hookimpl(register_filters)))


def test_a_wrapper():
    def register_filters(context):
        return (yield)

    assert "is a wrapper" in complaint(module(register_filters=hookimpl(register_filters, wrapper=True)))

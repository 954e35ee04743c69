"""The forms of gjson that a filter understands; each is also asked of a native gjson where that knows it."""

import json

import pygjson
import pytest

from dispatcher.delivery.gjson import LONGEST_PATH, MISSING, PathError, check_path, parse_path

DOCUMENT = {
    "name": {"first": "Tom", "last": "Anderson"},
    "age": 37,
    "children": ["Sara", "Alex", "Jack"],
    "fav.movie": "Deer Hunter",
    "friends": [
        {"first": "Dale", "last": "Murphy", "age": 44, "nets": ["ig", "fb", "tw"], "ok": True},
        {"first": "Roger", "last": "Craig", "age": 68, "nets": ["fb", "tw"], "ok": False},
        {"first": "Jane", "last": "Murphy", "age": 47, "nets": ["ig", "tw"], "ok": None},
    ],
    "nothing": None,
    "empty": [],
    "nested": [[1, 2], [3, [4, [5]]], 6],
    "mix": [1, "1", True, None, {"a": 1}, [1]],
    "packed": '{"a":[7]}',
    "@type": "x",
    'q"uote': 1,
}
DALE, ROGER, JANE = DOCUMENT["friends"]

SHARED = {
    # names
    "name.last": "Anderson",
    "age": 37,
    "nothing": None,
    "nope": MISSING,
    "name.first.nope": MISSING,
    r"fav\.movie": "Deer Hunter",
    r"\@type": "x",
    r'q"uote': 1,
    # elements
    "children": ["Sara", "Alex", "Jack"],
    "children.0": "Sara",
    "children.3": MISSING,
    "children.-1": MISSING,
    "friends.1.first": "Roger",
    # wildcards
    "child*.2": "Jack",
    "c?ildren.0": "Sara",
    "*.first": "Tom",
    # counting and collecting
    "friends.#": 3,
    "empty.#": 0,
    "age.#": MISSING,
    "friends.#.age": [44, 68, 47],
    "friends.#.missing": [],
    "friends.#.nets.#": [3, 2, 2],
    "friends.#.nets.0": ["ig", "fb", "ig"],
    "nested.#.0": [1, 3],
    "nested.#.#": [2, 2],
    # queries
    'friends.#(last=="Murphy").first': "Dale",
    'friends.#(last="Murphy").first': "Dale",
    'friends.#(last=="Murphy")#.first': ["Dale", "Jane"],
    'friends.#( last == "Murphy" )#.first': ["Dale", "Jane"],
    'friends.#(last=="Nobody")': MISSING,
    'friends.#(last=="Nobody")#': [],
    "friends.#(age>45)#.last": ["Craig", "Murphy"],
    "friends.#(age>=47)#.age": [68, 47],
    "friends.#(age<47)#.age": [44],
    "friends.#(age<=47)#.age": [44, 47],
    "friends.#(age!=44)#.age": [68, 47],
    "friends.#(age==44.0).first": "Dale",
    'friends.#(last<"D")#.first': ["Roger"],
    'friends.#(first%"D*").last': "Murphy",
    "friends.#(first%D*).last": "Murphy",
    'friends.#(first!%"D*").last': "Craig",
    'friends.#(first%"?ane").age': 47,
    'children.#(!%"*a*")': "Alex",
    'children.#(%"*a*")#': ["Sara", "Jack"],
    "friends.#(ok==true).first": "Dale",
    "friends.#(ok==false).first": "Roger",
    "friends.#(ok!=true)#.first": ["Roger"],
    "friends.#(ok==~true)#.first": ["Dale"],
    "friends.#(ok==~false)#.first": ["Roger", "Jane"],
    "friends.#(ok)#.first": ["Dale", "Roger", "Jane"],
    "friends.#(nope)#": [],
    'friends.#(nets.#(=="fb"))#.first': ["Dale", "Roger"],
    "friends.#(nets.#>2)#.first": ["Dale"],
    "mix.#(==1)#": [1, "1"],
    'mix.#(=="1")#': [1, "1"],
    "mix.#(==true)#": [True],
    "mix.#(a)": {"a": 1},
    # dot and pipe
    "friends|0.first": "Dale",
    "friends.0|first": "Dale",
    "friends|#": 3,
    "friends.#.nets|#": 3,
    "friends.#.nets|0": ["ig", "fb", "tw"],
    'friends.#(last="Murphy")#': [DALE, JANE],
    'friends.#(last="Murphy")#|first': MISSING,
    'friends.#(last="Murphy")#|0': DALE,
    'friends.#(last="Murphy")#.0': [],
    'friends.#(last="Murphy")#|#': 2,
    'friends.#(last="Murphy")#.#': [],
    # modifiers
    "children.@reverse": ["Jack", "Alex", "Sara"],
    "children.@reverse.0": "Jack",
    "children|@reverse|0": "Jack",
    "@this.age": 37,
    "@valid.age": 37,
    "@ugly|age": 37,
    '@pretty:{"sortKeys":true}|age': 37,
    "nested.@flatten": [1, 2, 3, [4, [5]], 6],
    'nested.@flatten:{"deep":true}': [1, 2, 3, 4, 5, 6],
    "friends.@join.first": "Jane",
    # multipaths
    "[name.first,age]": ["Tom", 37],
    "[name.nope,age]": [37],
    "[nope]": [],
    "[name.first,age].#": 2,
    "{name.first,age}": {"first": "Tom", "age": 37},
}
OURS = {
    # a native gjson of today gives nothing here, or keeps the quotes of the name
    "name.@values": ["Tom", "Anderson"],
    "friends.0.@keys": ["first", "last", "age", "nets", "ok"],
    "packed.@fromstr.a.0": 7,
    "friends.#(ok==~null)#.first": ["Jane"],
    "friends.#(nope==~null)#.first": ["Dale", "Roger", "Jane"],
    "friends.#(nope==~*)#": [],
    "friends.#(ok!=~null)#.first": ["Dale", "Roger"],
    '{"who":friends.#(last="Murphy")#.first}': {"who": ["Dale", "Jane"]},
}


def native(path):
    def plain(result):
        if not result.exists():
            return MISSING
        if result.type_ is dict:
            return {name: plain(member) for name, member in result.value.items()}
        if result.type_ is list:
            return [plain(item) for item in result.value]
        return None if result.type_ is None else result.value

    return plain(pygjson.get_bytes(json.dumps(DOCUMENT).encode(), path))


@pytest.mark.parametrize("path", SHARED)
def test_form(path):
    assert parse_path(path).find(DOCUMENT) == SHARED[path]


@pytest.mark.parametrize("path", SHARED)
def test_native_gjson_reads_it_alike(path):
    assert native(path) == SHARED[path]


@pytest.mark.parametrize("path", OURS)
def test_form_beyond_the_native_one(path):
    assert parse_path(path).find(DOCUMENT) == OURS[path]


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("", "a path is empty"),
        ("  ", "a path is empty"),
        (".", "a name is missing at 0"),
        ("a.", "a name is missing at 2"),
        ("a..b", "a name is missing at 2"),
        ("|a", "a name is missing at 0"),
        ("a|", "a name is missing at 2"),
        ("a\\", "ends in a backslash"),
        ("a.#x", r"'#' at 2 stands alone or before '\('"),
        ("a.#(", "is not closed"),
        ("a.#(b", "is not closed"),
        ('a.#(b=="c)', "string at 7 is not closed"),
        ("a.#(b]", "']' at 5 closes nothing"),
        ("a.#()", "a path is empty"),
        ("a.#(b==)", "nothing follows =="),
        ('a.#(b=="c"d)', "is not one string"),
        ('a.#(b=="\\x")', "is not a JSON string"),
        ("a.#(b==~maybe)", "only = and != go with"),
        ("a.#(b<~true)", "only = and != go with"),
        ("a.#(b)#c", "'c' at 7 is not expected"),
        ("a.#(b)c", "'c' at 6 is not expected"),
        ("a.#(b..c==1)", "a name is missing"),
        ("@revers", "@revers is no modifier"),
        ("@", "@ is no modifier"),
        ("@pretty:x", "a modifier's argument is a JSON object"),
        ("@pretty:{x}", "argument of @pretty is not a JSON object"),
        ("[a,b", "is not closed"),
        ("[a,,b]", "a path is empty"),
        ("{a:b", "is not closed"),
        ('{"a"b}', "is followed by ':'"),
        ('{"a":}', "a path is empty"),
        ("!true", "literals"),
        ("[a]b", "'b' at 3 is not expected"),
        ("a" * (LONGEST_PATH + 1), "longer than 1024 characters"),
        ("#(" * 20 + "a" + ")" * 20, "nests more than 16 deep"),
        ("[" * 20 + "a" + "]" * 20, "nests more than 16 deep"),
        ("#." * 20 + "a", "nests more than 16 deep"),
    ],
)
def test_a_malformed_path_is_refused_with_the_reason(path, complaint):
    with pytest.raises(ValueError, match=complaint):
        check_path(path)


def test_a_path_at_the_limits_is_good():
    check_path("a" * LONGEST_PATH)
    check_path("#(" * 16 + "a" + ")" * 16)


def test_the_error_is_one_that_callers_can_tell_apart():
    with pytest.raises(PathError):
        parse_path("a..b")

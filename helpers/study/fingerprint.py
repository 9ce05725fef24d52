"""Which code a number follows from: the definitions that a function reaches, and nothing else.

From a function or class its source is followed to every definition of this package that it
names, and from those on. Comments, docstrings and layout do not count, nor does what only
shows, stores or speeds up (`NO_EFFECT`). Entries of registries stand for themselves: whoever
uses one names it as a start. What a function was made with beforehand counts as well.
"""

import ast
import functools
import hashlib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import ModuleType

import numpy as np

from helpers.engine.registry import Registry

PACKAGE = __name__.split(".")[0]
NO_EFFECT = tuple(f"{PACKAGE}.engine.{name}" for name in (
    "caches", "compiling", "files", "progress", "registry"))
CONTAINERS = (dict, tuple, list, set, frozenset)
CONSTANTS = (bool, int, float, complex, str, bytes, range, re.Pattern,
             np.ndarray, np.generic, np.dtype)


class Same:
    """A thing that is equal to itself alone, whether it has a hash or not."""

    def __init__(self, thing):
        self.thing = thing

    def __eq__(self, other) -> bool:
        return self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)


def code_of(*starts) -> dict[str, str]:
    """A short hash of each definition that the starts reach, by its full name, sorted.

    Args:
        starts: functions (plain, compiled by Numba or wrapped), classes and their instances; with
            what those were given beforehand (`_given`), under a name of its own.
    """
    return _code_of(*map(Same, starts))


@functools.cache
def _code_of(*starts: Same) -> dict[str, str]:
    found: dict[str, str] = {}
    waiting, seen = [start.thing for start in starts], {}
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing
        given, inner = _given(thing), _inner(thing)
        waiting += [part for value in given.values() for part in _definitions(value)]
        if not _is_ours(inner):
            continue
        if any(_has_constant(value) for value in given.values()):
            name = f"{_name(inner)}({', '.join(given)})"
            found[name] = _hash(found.get(name, ""), *map(_text, given.values()))
        if _name(inner) not in found:
            found[_name(inner)], reached = _read(inner)
            waiting.extend(reached)
    return dict(sorted(found.items()))


def _name(thing) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


@functools.cache
def _read(thing) -> tuple[str, list]:
    """The hash of one definition, with the constants it names; and the definitions it names."""
    known = _definitions_of(thing.__module__)
    tree = known.get(thing.__qualname__, known[""])  # a lambda's is its whole module
    parts, reached = [ast.unparse(tree)], []
    for label, value in _named(tree, vars(sys.modules[thing.__module__])):
        if _is_constant(value) or _is_container(value):
            parts.append(f"{label} = {_text(value)}")
        reached.extend(_definitions(value))
    return _hash(*parts), reached


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _given(thing) -> dict[str, object]:
    """What something was made with: arguments given to a function beforehand, the instance that a
    method is of, variables of the function around it, attributes of an instance."""
    given = {}
    while isinstance(thing, functools.partial):
        given |= {str(i): one for i, one in enumerate(thing.args)} | thing.keywords
        thing = thing.func
    if inspect.ismethod(thing):
        given["self"] = thing.__self__
    inner = _inner(thing)
    if inspect.isfunction(inner):
        with suppress(ValueError):  # a variable that has no value yet
            given |= inspect.getclosurevars(inner).nonlocals
    elif inner is type(thing):
        given |= vars(thing)
    return given


def _inner(thing):
    """What a decorator has wrapped, a bound method's function, the class of our instances."""
    while True:
        if isinstance(thing, functools.partial):
            thing = thing.func
        elif inspect.ismethod(thing):
            thing = thing.__func__
        elif hasattr(thing, "py_func"):  # Numba's dispatcher
            thing = thing.py_func
        elif hasattr(thing, "__wrapped__"):
            thing = thing.__wrapped__
        else:
            return type(thing) if _is_ours(type(thing)) else thing


def _is_ours(thing) -> bool:
    """A function or class written in this package that may change a number."""
    module = getattr(thing, "__module__", None) or ""
    return ((inspect.isfunction(thing) or inspect.isclass(thing))
            and (module.split(".")[0] == PACKAGE) and module not in NO_EFFECT)


@functools.cache
def _definitions_of(module: str) -> dict[str, ast.AST]:
    """All functions and classes of a module by their qualified names, without docstrings; under
    an empty name the module itself, for what is defined in another way."""
    found = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):  # no definitions in there
                continue
            inner = prefix
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                found[prefix + child.name] = child
                first = child.body[0]
                if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                    child.body = child.body[1:] or [ast.Pass()]
                inner = f"{prefix}{child.name}." + (
                    "<locals>." if isinstance(child, ast.FunctionDef) else "")
            visit(child, inner)

    found[""] = ast.parse(inspect.getsource(sys.modules[module]))
    visit(found[""], "")
    return found


def _named(tree: ast.AST, scope: dict) -> Iterator[tuple[str, object]]:
    """The names in a definition that its module knows, and what they stand for, each once."""
    seen = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in scope:
            seen[node.id] = scope[node.id]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = scope.get(node.value.id)
            if isinstance(owner, ModuleType) and owner.__name__.split(".")[0] == PACKAGE:
                seen[f"{node.value.id}.{node.attr}"] = getattr(owner, node.attr, None)
    yield from sorted(seen.items())


def _definitions(value) -> Iterable:
    """The functions and classes that a module's name stands for, and instances of such."""
    if _is_container(value):
        return [part for inner in _inside(value) for part in _definitions(inner)]
    known = isinstance(value, Registry | ModuleType) or _is_constant(value)
    return [] if known else [value]


def _is_container(value) -> bool:
    return isinstance(value, CONTAINERS) and not isinstance(value, Registry)


def _inside(value) -> list:
    """What is in a container, in an order that is always the same."""
    if isinstance(value, dict):
        return list(value.values())
    return sorted(value, key=_text) if isinstance(value, set | frozenset) else list(value)


def _is_constant(value) -> bool:
    if _is_container(value):
        return all(map(_is_constant, _inside(value)))
    return value is None or isinstance(value, CONSTANTS)


def _has_constant(value) -> bool:
    return (any(map(_has_constant, _inside(value))) if _is_container(value)
            else _is_constant(value))


def _text(value) -> str:
    """A constant as text; definitions in containers by their names, since their order counts."""
    if isinstance(value, set | frozenset):
        return repr(sorted(map(_text, value)))
    if isinstance(value, Registry | ModuleType):
        return "a registry or module"
    if type(value) is dict:
        return "{" + ", ".join(f"{key!r}: {_text(inner)}" for key, inner in value.items()) + "}"
    if type(value) in (list, tuple):
        inside = ", ".join(map(_text, value)) + "," * (len(value) == 1 and type(value) is tuple)
        return f"[{inside}]" if type(value) is list else f"({inside})"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    if isinstance(value, re.Pattern):
        return f"{value.pattern!r} {value.flags}"
    if _is_constant(value):
        return repr(value)
    inner = _inner(value)
    return f"{getattr(inner, '__module__', '')}.{getattr(inner, '__qualname__', '')}"

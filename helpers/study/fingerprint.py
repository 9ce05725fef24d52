"""Which code a number follows from: the definitions that a function reaches, and nothing else.

From a function or class its source is followed to every definition of this package that it
names, and from those on. Comments, docstrings and layout do not count, nor does what only
shows, stores or speeds up (`NO_EFFECT`). Entries of registries stand for themselves: whoever
uses one names it as a start.
"""

import ast
import functools
import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType

import numpy as np

from helpers.engine.registry import Registry

PACKAGE = __name__.split(".")[0]
NO_EFFECT = tuple(f"{PACKAGE}.engine.{name}" for name in (
    "caches", "compiling", "files", "progress", "registry"))


@functools.cache
def code_of(*starts) -> dict[str, str]:
    """A short hash of each definition that the starts reach, by its full name, sorted.

    Args:
        starts: functions (plain, compiled by Numba or wrapped) and classes; of functions with
            arguments given beforehand, those too.
    """
    found: dict[str, str] = {}
    waiting = list(starts)
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, functools.partial):
            waiting += [*thing.args, *thing.keywords.values()]
        thing = _inner(thing)
        if _is_ours(thing) and _name(thing) not in found:
            found[_name(thing)], reached = _read(thing)
            waiting.extend(reached)
    return dict(sorted(found.items()))


def _name(thing) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


@functools.cache
def _read(thing) -> tuple[str, list]:
    """The hash of one definition, with the constants it names; and the definitions it names."""
    tree = _definitions_of(thing.__module__)[thing.__qualname__]
    parts, reached = [ast.unparse(tree)], []
    for label, value in _named(tree, vars(sys.modules[thing.__module__])):
        if _is_constant(value):
            parts.append(f"{label} = {_text(value)}")
        else:
            reached.extend(_definitions(value))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16], reached


def _inner(thing):
    """What a decorator has wrapped."""
    while True:
        if isinstance(thing, functools.partial):
            thing = thing.func
        elif hasattr(thing, "py_func"):  # Numba's dispatcher
            thing = thing.py_func
        elif hasattr(thing, "__wrapped__"):
            thing = thing.__wrapped__
        else:
            return thing


def _is_ours(thing) -> bool:
    """A function or class written in this package that may change a number."""
    module = getattr(thing, "__module__", None) or ""
    return ((inspect.isfunction(thing) or inspect.isclass(thing))
            and (module.split(".")[0] == PACKAGE) and module not in NO_EFFECT)


@functools.cache
def _definitions_of(module: str) -> dict[str, ast.AST]:
    """All functions and classes of a module by their qualified names, without docstrings."""
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

    visit(ast.parse(inspect.getsource(sys.modules[module])), "")
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
    """The functions and classes that a module's name stands for."""
    if isinstance(value, Registry | ModuleType):
        return []
    if isinstance(value, dict):
        return [part for inner in value.values() for part in _definitions(inner)]
    if isinstance(value, tuple | list):
        return [part for inner in value for part in _definitions(inner)]
    return [value]


def _is_constant(value) -> bool:
    if isinstance(value, Registry):
        return False
    if isinstance(value, dict):
        return all(map(_is_constant, value.values()))
    if isinstance(value, tuple | list | set | frozenset):
        return all(map(_is_constant, value))
    return value is None or isinstance(
        value, bool | int | float | complex | str | bytes | np.ndarray | np.generic | np.dtype)


def _text(value) -> str:
    if isinstance(value, set | frozenset):
        return repr(sorted(map(repr, value)))
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    return repr(value)

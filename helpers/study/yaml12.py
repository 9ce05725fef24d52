"""Settings from a YAML file, by YAML 1.2's core schema: what stands there is what is read.

``010`` is ten and ``1:40`` text, ``5e-3`` is a number and ``1e4`` a whole one, ``yes`` and ``on``
are text, ``true`` and ``false`` are not. What would leave a doubt is an error that names its line:
a name given twice, a name that is no text, a second document, anchors, tags, directives.
"""

import re

from ruamel.yaml import YAML
from ruamel.yaml.composer import ComposerError
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.tokens import AliasToken, AnchorToken, DirectiveToken, TagToken

REFUSED = {AliasToken: "an alias (*)", AnchorToken: "an anchor (&)", TagToken: "a tag (!)",
           DirectiveToken: "a directive (%)"}
WORDS = {"": None, "~": None} | {
    form: value for word, value in (("null", None), ("true", True), ("false", False))
    for form in (word, word.title(), word.upper())}
WHOLE = re.compile(r"[-+]?[0-9]{1,300}")  # longer ones are floats, and infinite
PREFIXED = re.compile(r"0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def read(data: bytes, texts: tuple[str, ...] = ()) -> object:
    """The value of a YAML file: dict, list, text, number, bool or None.

    Args:
        texts: entries of the outermost mapping whose value is text however it looks: with
            ``extends`` among them, ``extends: 010`` gives ``"010"``.

    Raises:
        ValueError: not YAML 1.2, or what is refused; one line of text, which names the file's.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"line {_line(data, error.start)}: got byte {data[error.start]:#04x}, "
                         "takes UTF-8") from None
    try:
        for token in YAML(typ="safe", pure=True).scan(text):
            if type(token) in REFUSED:
                raise ValueError(f"line {token.start_mark.line + 1}: got {REFUSED[type(token)]}, "
                                 "takes plain values, or text in quotes")
        root = YAML(typ="safe", pure=True).compose(text)
        return None if root is None else _value(root, "", texts)
    except YAMLError as error:
        raise ValueError(_reason(error, text)) from None
    except RecursionError:
        raise ValueError("got lists or sections hundreds deep, takes a few levels") from None


def _value(node: Node, place: str, texts: tuple[str, ...] = ()) -> object:
    if isinstance(node, ScalarNode):
        return _plain(node.value) if node.style is None else node.value
    if isinstance(node, SequenceNode):
        return [_value(item, f"{place}.{i}") for i, item in enumerate(node.value)]
    values, lines = {}, {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        name = _value(key, place)
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ValueError(f"line {line}: got {name!r} as a name, takes text")
        inner = f"{place}.{name}".removeprefix(".")
        if name in lines:
            raise ValueError(f"line {line}: {inner}: given again after line {lines[name]}, takes "
                             "one value")
        lines[name] = line
        text = name in texts and isinstance(value, ScalarNode)
        values[name] = value.value if text else _value(value, inner)
    return values


def _plain(text: str) -> object:
    """What a scalar without quotes says."""
    if text in WORDS:
        return WORDS[text]
    if WHOLE.fullmatch(text):
        return int(text)
    if PREFIXED.fullmatch(text):
        return int(text, 0)
    if NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    if not NUMBER.fullmatch(text):
        return text
    number = float(text)
    whole = "e" in text.lower() and number.is_integer()
    return int(number) if whole else number


def _reason(error: YAMLError, text: str) -> str:
    """A line and what is wrong there."""
    if isinstance(error, ReaderError):
        return f"line {_line(text, error.position)}: got a character that no text has"
    mark, problem = error.problem_mark, " ".join(f"{error.problem}".split())
    if isinstance(error, ComposerError):  # the others that are its are about anchors
        problem = "got another document, takes one a file"
    elif r"'\t' that cannot start" in problem:
        problem = "got a tab, takes spaces"
    else:
        problem = f"is not YAML ({problem})"
    return f"line {mark.line + 1}: {problem}"


def _line(text: str | bytes, position: int) -> int:
    return text[:position].count("\n" if isinstance(text, str) else b"\n") + 1

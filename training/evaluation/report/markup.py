"""HTML from Python calls. Text is escaped unless it is markup already, so no name can break out."""

from collections.abc import Iterable, Mapping
from html import escape


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, *content: str, attributes: Mapping[str, str] | None = None) -> Markup:
    """One element; plain strings in it are escaped, markup is not."""
    given = (attributes or {}).items()
    inside = "".join(f' {key}="{escape(value)}"' for key, value in given)
    return Markup(f"<{name}{inside}>{join(content)}</{name}>")


def void_tag(name: str, attributes: Mapping[str, str]) -> Markup:
    """An element without content, such as an image."""
    inside = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{inside}>")


def join(parts: Iterable[str]) -> Markup:
    """Parts one behind the other, plain strings escaped."""
    return Markup("".join(p if isinstance(p, Markup) else escape(p) for p in parts))


def styled(name: str, css_class: str, *content: str) -> Markup:
    """An element of a class."""
    return tag(name, *content, attributes={"class": css_class})

"""Which of the forms that a reply can take the caller likes best (RFC 9110, 12.5.1)."""

from collections.abc import Sequence


def preferred_media_type(accept: str, offered: Sequence[str]) -> str | None:
    """Choose the offered type with the highest q; among equals the first offered.

    Args:
        accept: the Accept header; empty means that anything will do.
        offered: types that the reply can have, the best first.

    Returns:
        None if the caller accepts none of them.
    """
    if accept in ("", "*/*"):  # what most programs send
        return offered[0]
    ranges = _parse_accept(accept)
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    return best if _quality(best, ranges) > 0 else None


def _parse_accept(accept: str) -> list[tuple[str, float]]:
    ranges = []
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if media_range:
            ranges.append((media_range, _parse_quality(parameters)))
    return ranges or [("*/*", 1.0)]


def _parse_quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The q of the most specific range that matches: `image/png` before `image/*` before `*/*`."""
    for candidate in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        qualities = [quality for media_range, quality in ranges if media_range == candidate]
        if qualities:
            return max(qualities)
    return 0.0

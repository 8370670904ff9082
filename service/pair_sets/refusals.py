"""Why a set cannot be had or added to, in the same words whatever it is kept in."""

from model_store.emotion.ecm import MAX_PAIRS
from service.errors import (
    IdempotencyKeyReusedError,
    OtherClassifierError,
    SetFullError,
    TooManySetsError,
    UnknownSetError,
)


def unknown_set(name: str) -> UnknownSetError:
    return UnknownSetError(
        f"there is no set {name!r}: nothing was added to it, it was deleted, or its time ran out; "
        "GET /v1/ecm/sets lists what there is"
    )


def other_classifier(name: str, *, theirs: str, ours: str) -> OtherClassifierError:
    return OtherClassifierError(
        f"the pairs of set {name!r} were read by {theirs} and these by {ours}, whose values cannot "
        "be mixed; delete the set, or add to another"
    )


def key_reused(name: str, key: str) -> IdempotencyKeyReusedError:
    return IdempotencyKeyReusedError(
        f"Idempotency-Key {key!r} came with other pairs before, for set {name!r}; take a new key "
        "for a new request"
    )


def too_many_sets(count: int) -> TooManySetsError:
    return TooManySetsError(
        f"there are {count} sets, which is all that are kept; delete one that is done with, or add "
        "to one that there is"
    )


def set_full(name: str, count: int) -> SetFullError:
    return SetFullError(
        f"set {name!r} holds {count} pairs, and at most {MAX_PAIRS} fit; begin another set"
    )

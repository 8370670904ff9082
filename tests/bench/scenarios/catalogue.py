"""The scenarios of this package by their numbers."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.scenarios import (
    accounting,
    deadlines,
    ending,
    identities,
    lone_caller,
    overload,
    rude_clients,
    soak,
)
from tests.bench.scenarios.setup import Check, Setup


@dataclass(frozen=True)
class Scenario:
    title: str
    run: Callable[[Setup], list[Check]]


SCENARIOS = {
    2: Scenario("a lone caller", lone_caller.run),
    4: Scenario("overload, five times", overload.run),
    6: Scenario("short deadlines", deadlines.run),
    8: Scenario("many at once, each with its number in its pixels", identities.run),
    10: Scenario("slow and broken uploads", rude_clients.run),
    14: Scenario("SIGTERM under load", ending.run),
    17: Scenario("probes under overload, which is the overload of 4", overload.run),
    24: Scenario("a soak", soak.run),
    25: Scenario("accounting", accounting.run),
}

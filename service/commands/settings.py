"""`affectsr settings` and `affectsr openapi`: what a service would be like."""

import argparse
import json

from service.settings import Settings, environment_name, settings_markdown
from service.terminal import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `affectsr settings`."""
    parser.add_argument("--markdown", action="store_true", help="the table of the README")


def run(settings: Settings, *, as_markdown: bool) -> int:
    """Print the settings; returns the exit status."""
    if as_markdown:
        print(settings_markdown(), end="")
        return 0
    rows = [("VARIABLE", "VALUE", "MEANING")]
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        shown = ",".join(value) if isinstance(value, tuple) else str(value)
        rows.append((environment_name(name), shown, field.description or ""))
    print_table(rows)
    return 0


def run_openapi(settings: Settings) -> int:
    """Print the OpenAPI document; returns the exit status."""
    from service.app import create_app

    print(json.dumps(create_app(settings).openapi(), indent=2))
    return 0

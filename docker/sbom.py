"""Write what is installed beside this Python as a CycloneDX 1.5 bill of materials.

    python docker/sbom.py sbom.cdx.json

The images hold theirs as /opt/affectsr/sbom.cdx.json. Standard library only: it runs in the image's
own environment, so that it lists what is there and not what was asked for.
"""

import json
import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path


def bill_of_materials(installed: Iterable[Distribution]) -> dict[str, object]:
    """Components with versions, licences as their authors name them, and who needs whom."""
    by_name = {_normalized(one.metadata["Name"]): one for one in installed}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "components": [_component(name, one) for name, one in sorted(by_name.items())],
        "dependencies": [
            {
                "ref": _purl(name, one),
                "dependsOn": sorted(
                    _purl(need, by_name[need]) for need in _needs(one) & by_name.keys()
                ),
            }
            for name, one in sorted(by_name.items())
        ],
    }


def _component(name: str, one: Distribution) -> dict[str, object]:
    purl = _purl(name, one)
    component: dict[str, object] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": one.version,
        "purl": purl,
    }
    expression, free_text = one.metadata["License-Expression"], one.metadata["License"]
    if expression:
        component["licenses"] = [{"expression": expression}]
    elif free_text and "\n" not in free_text:  # some paste the licence's whole text
        component["licenses"] = [{"license": {"name": free_text}}]
    return component


def _purl(name: str, one: Distribution) -> str:
    return f"pkg:pypi/{name}@{one.version}"


def _needs(one: Distribution) -> set[str]:
    """Names that its metadata requires, without those of extras."""
    lines = [line for line in one.requires or [] if "extra ==" not in line]
    return {_normalized(re.split(r"[\s<>=!~;\[(]", line, maxsplit=1)[0]) for line in lines}


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}")
        return 2
    text = json.dumps(bill_of_materials(distributions()), indent=2)
    Path(arguments[0]).write_text(text + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

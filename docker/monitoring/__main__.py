"""Write dashboard and alerts anew: python -m docker.monitoring."""

import json
from pathlib import Path

import yaml

from docker.monitoring.alerts import prometheus_rule, rule_groups
from docker.monitoring.dashboard import dashboard

_ROOT = Path(__file__).resolve().parents[2]
_HEADER = "# Written by `python -m docker.monitoring` from docker/monitoring/alerts.py.\n"


def generated_files() -> dict[str, str]:
    """Path below the repository's root, and text, of every file that is generated."""
    return {
        "docker/grafana/dashboards/affectsr.json": json.dumps(dashboard(), indent=2) + "\n",
        "docker/prometheus/alerts.yml": _as_yaml(rule_groups()),
        "k8s/components/monitoring/rules.yaml": _as_yaml(prometheus_rule()),
    }


def main() -> None:
    for path, text in generated_files().items():
        (_ROOT / path).write_text(text, "utf-8")


def _as_yaml(document: dict[str, object]) -> str:
    return _HEADER + yaml.safe_dump(document, sort_keys=False, width=100)


if __name__ == "__main__":
    main()

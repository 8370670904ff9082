"""Asks the probes in turn, each on a connection of its own, and prints how long each took.

python -m tests.bench.scenarios.prober URL SECONDS
"""

import json
import sys
import time
from http.client import HTTPConnection
from itertools import cycle
from urllib.parse import urlsplit

PATHS = ("/livez", "/readyz", "/startupz", "/metrics", "/v2/health/live", "/v2/health/ready")


def main() -> None:
    url, seconds = urlsplit(sys.argv[1]), float(sys.argv[2])
    ends_at = time.monotonic() + seconds
    found = []
    for path in cycle(PATHS):
        if time.monotonic() >= ends_at:
            break
        started_at = time.perf_counter()
        connection = HTTPConnection(url.hostname or "", url.port, timeout=30)
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        response.read()
        connection.close()
        found.append({"status": response.status, "seconds": time.perf_counter() - started_at})
        time.sleep(0.05)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()

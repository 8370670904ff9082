"""`affectsr serve`."""

import argparse
import os
import signal

from service.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments; they stand above the settings of those names."""
    parser.add_argument("--host", dest="http_host", help="address to listen on")
    parser.add_argument("--port", dest="http_port", type=int, help="port to listen on")


def run(settings: Settings) -> int:
    """Answer requests until told to stop; returns the exit status."""
    # Until the server has handlers of its own, which imports and loading precede by seconds, there
    # is nothing to finish: a stop is a clean end.
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
    # NumPy's threads spin for milliseconds after a product that they shared, on the networks'
    # cores. The variable is read as it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from service.logs import configure_logging

    configure_logging(settings.log_level, settings.log_format)
    from service.early_engine import EarlyEngine

    early = EarlyEngine(settings)
    try:
        from service.server import serve

        return serve(settings, early=early)
    finally:
        early.thread.close()

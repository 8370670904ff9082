"""An engine that loads while the framework and the routes are still imported.

Half of either is waiting for the other's files and the other core. Nothing that is imported here
may import the framework.
"""

from collections.abc import Callable
from concurrent.futures import Future

from service.engine.base import Engine
from service.engine.loading import load_engine, open_store
from service.engine.thread import EngineThread
from service.settings import Settings


class EarlyEngine:
    """The engine that the settings name, on its way."""

    def __init__(self, settings: Settings) -> None:
        """Begin to load.

        Args:
            settings: checked and complete.
        """
        self.store = open_store(settings)
        self.thread = EngineThread()
        self.on_landmarks: Callable[[float], None] = lambda seconds: None
        """Told how long landmarks took to find; set before the engine has requests."""
        self._engine: Future[Engine] = self.thread.begin(
            lambda: load_engine(self.store, settings, on_landmarks=self._tell_of_landmarks)
        )

    def _tell_of_landmarks(self, seconds: float) -> None:
        self.on_landmarks(seconds)

    def result(self) -> Engine:
        """The engine, which is waited for.

        Raises:
            ModelStoreError: a model cannot be trusted.
            StartupError: the engine cannot be had as the settings ask for it.
        """
        return self._engine.result()

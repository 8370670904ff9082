"""What is done in an output folder, so that the same command run again only does the rest.

A hidden file of lines, one for each result: its name, and a digest of the source's bytes and of
all that decides the result. The digest is keyed by a random number of the journal's own, so that
nobody can tell by it, nor by two journals, whose face was upscaled. It holds nothing else.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from service.upscale_files.outputs import write_whole
from service.upscale_files.plan import FileJob

JOURNAL_NAME = ".affectsr-journal"
_VERSION = 1
_KEY_BYTES = 16
_DIGEST_BYTES = 16


class Journal:
    """The journal of one folder; one process at a time may work in it.

    A result is entered without a digest before it is begun and with it once it is written, so that
    no kill makes one of ours look like somebody else's.
    """

    def __init__(self, folder: Path, *, options: str) -> None:
        """Read what there is of a journal.

        Args:
            folder: of the results.
            options: all that decides a result but its source, as text.

        Raises:
            ValueError: the file is no journal of this version.
            OSError: it cannot be read.
        """
        self._folder = folder
        self._path = folder / JOURNAL_NAME
        self._options = options.encode()
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._digests: dict[str, str | None] = {}
        if self._path.exists():
            self._read()

    def foreign(self, jobs: Sequence[FileJob]) -> list[Path]:
        """Targets that are there already and are none of ours."""
        targets = ((job.name, self._folder / job.name) for job in jobs)
        return [path for name, path in targets if name not in self._digests and path.exists()]

    def forget(self) -> None:
        """Take nothing for done."""
        self._digests = dict.fromkeys(self._digests)

    def remove(self) -> None:
        """Delete the file; raises OSError."""
        self._path.unlink(missing_ok=True)

    def is_done(self, job: FileJob) -> bool:
        """Whether the job's result is there, made of the same bytes in the same way.

        Raises:
            OSError, ServiceError: the source cannot be read.
        """
        known = self._digests.get(job.name)
        if known is None or not (self._folder / job.name).is_file():
            return False
        return known == self.digest(job.source.read())

    def digest(self, source: bytes) -> str:
        """Digest of a source and the options."""
        keyed = hashlib.blake2b(source, key=self._key, digest_size=_DIGEST_BYTES)
        keyed.update(b"\0" + self._options)
        return keyed.hexdigest()

    def begin(self, jobs: Iterable[FileJob]) -> None:
        """Enter jobs as begun; raises OSError. Results that are gone are forgotten."""
        self._digests = {
            name: digest
            for name, digest in self._digests.items()
            if (self._folder / name).is_file()
        }
        self._digests |= {job.name: None for job in jobs}
        head = {"affectsr_journal": _VERSION, "key": self._key.hex()}
        lines = [json.dumps(head), *(_line(*entry) for entry in self._digests.items())]
        write_whole(self._path, ("\n".join(lines) + "\n").encode())

    def enter(self, job: FileJob, digest: str) -> None:
        """Enter a job as done; raises OSError. Called from one thread at a time."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(job.name, digest) + "\n")

    def _read(self) -> None:
        text = self._path.read_text("utf-8", errors="replace")
        # What follows the last line's end was cut off by a kill.
        lines = text.splitlines()[: text.count("\n")]
        try:
            head = json.loads(lines[0])
            if head["affectsr_journal"] != _VERSION:
                raise ValueError(f"version {head['affectsr_journal']}")
            self._key = bytes.fromhex(head["key"])
            for line in lines[1:]:
                entry = json.loads(line)
                self._digests[str(entry["file"])] = entry["digest"]
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self._path} is no journal that this version can read; delete it and give "
                "--overwrite, or name another OUT"
            ) from error


def _line(name: str, digest: str | None) -> str:
    return json.dumps({"file": name, "digest": digest})

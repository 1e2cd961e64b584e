"""What an emulated cloud is to the sandbox: the same for every cloud."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from lightly_infra.permissions import Purpose
from lightly_infra.sandbox.seed import IMAGES, VIDEOS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from lightly_infra.sandbox.probe import Attempt
    from lightly_infra.spec.fields import DatasourceSpec


class CannotSeed(ValueError):
    """The stack wants something of the user's that an emulated cloud cannot have; the message says what to do."""


class CannotStart(RuntimeError):
    """The emulator is not on this machine and cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class Source:
    """A datasource that a stack declares."""

    where: str
    """Its path in the YAML, such as `street-scenes.input.s3`, for messages."""

    purpose: Purpose

    spec: DatasourceSpec
    """What the YAML says; each cloud gets its own kind only."""

    dataset_type: str | None = None
    """What the dataset holds; None for images."""

    @property
    def files(self) -> tuple[str, ...]:
        """What lies under the prefix before: for an Input some files that Lightly can read, else nothing."""
        if self.purpose is not Purpose.INPUT:
            return ()
        return VIDEOS if self.dataset_type == "Videos" else IMAGES


class EmulatedCloud(ABC):
    """An emulated cloud. A context manager; `start` and `stop` do the same by hand. Building it starts nothing."""

    name: ClassVar[str]
    """What people call it, such as `AWS`."""

    @abstractmethod
    def start(self) -> Self:
        """Starts the emulator and waits until it answers; does nothing when it runs already.

        Raises:
            CannotStart: it is not on this machine, and cannot be had.
            ChildError: it did not start; the message ends with its last output.
        """

    @abstractmethod
    def stop(self) -> None:
        """Ends it and removes all it left. May be called again."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The variables that send programs, our emulated provider and, where they can, official clients here.

        Valid while it runs.
        """

    @abstractmethod
    def prepare(self, sources: Sequence[Source]) -> None:
        """Plays the user's part: makes what these datasources take as given, such as buckets with images and roles.

        May be called again; what is there already stays.

        Raises:
            CannotSeed: one takes something as given that cannot be had here.
        """

    @abstractmethod
    def put_images(self, place: str, prefix: str) -> None:
        """Makes a bucket (or container, `ACCOUNT/CONTAINER`) where it is missing, with images under the prefix."""

    @abstractmethod
    def probe(self, datasource: Mapping[str, str], others: Collection[Mapping[str, str]]) -> list[Attempt]:
        """Tries, as Lightly, what a datasource's credentials allow and what they must not: see `sandbox.probe`.

        Args:
            datasource: What Lightly was told, in the API's names, secrets included.
            others: All other datasources that Lightly knows.
        """

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

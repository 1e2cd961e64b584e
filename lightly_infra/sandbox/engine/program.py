"""Runs a Pulumi program to its end on an event loop of its own, and leaves nothing behind.

The SDK keeps its settings in context variables, and a failed program abandons tasks that wait for ever. So a program
gets a context and a loop of its own, its tasks are cancelled in the end, and the loop is closed.
"""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pulumi.runtime import set_all_config
from pulumi.runtime.settings import set_root_resource
from pulumi.runtime.stack import run_in_stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightly_infra.sandbox.engine.interface import Program

_THREADS: Final = 64  # each resource being registered waits in a thread of its own


class ProgramRun:
    """One run of a program."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="pulumi-program")
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(self._threads)
        self._loop.set_exception_handler(lambda *_: None)  # abandoned tasks have nothing new to say
        self._main: asyncio.Task[None] | None = None

    def run(self, prepare: Callable[[], None], on_error: Callable[[Exception], None]) -> None:
        """Runs the program; registrations under way when it fails may go on in threads until `close`.

        Args:
            prepare: Tells the SDK which engine to talk to.
            on_error: Called with what the program raised, before anything is wound down.
        """
        contextvars.copy_context().run(self._run, prepare, on_error)

    def stop(self) -> None:
        """Has a program give up that still runs: the SDK may wait for ever for an engine that has gone."""
        main = self._main
        if main is not None and not self._loop.is_closed():
            with suppress(RuntimeError):  # closed since
                self._loop.call_soon_threadsafe(main.cancel)

    def close(self) -> None:
        """Waits for what is under way."""
        self._threads.shutdown(wait=True)

    def _run(self, prepare: Callable[[], None], on_error: Callable[[Exception], None]) -> None:
        prepare()
        set_root_resource(None)  # type: ignore[arg-type]  # as the SDK itself does between programs
        set_all_config(dict(self._program.config), list(self._program.secret_keys))
        loop = self._loop
        self._main = loop.create_task(run_in_stack(self._program.run))
        try:
            loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            pass  # stopped
        except Exception as error:  # noqa: BLE001 - the program is someone else's
            on_error(error)
        finally:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()


def chain(error: BaseException | None) -> list[BaseException]:
    """The exception and everything it came from."""
    errors: list[BaseException] = []
    while error is not None and error not in errors:
        errors.append(error)
        error = error.__cause__ or error.__context__
    return errors

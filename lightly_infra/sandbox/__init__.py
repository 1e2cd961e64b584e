"""Emulated clouds, the emulated Lightly API and the engines that run programs against them."""

from __future__ import annotations


def missing_extra(missing: ImportError) -> ImportError:
    """What to raise where a package of the sandbox extra is missing: the message says how to install it."""
    return ImportError(
        f"the sandbox needs the package {missing.name!r}: pip install 'lightly-infra[sandbox]'", name=missing.name
    )

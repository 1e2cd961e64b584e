"""Two engines behind one interface: the real Pulumi CLI, and one that runs inside this process."""

from __future__ import annotations

from lightly_infra.sandbox.engine.interface import (
    Change,
    Engine,
    Failure,
    OnChange,
    OnLog,
    Operation,
    Program,
    Result,
    Secret,
    UnsupportedFeature,
)

__all__ = [
    "Change",
    "Engine",
    "Failure",
    "OnChange",
    "OnLog",
    "Operation",
    "Program",
    "Result",
    "Secret",
    "UnsupportedFeature",
]

"""What a stack's YAML may say. Every error names the field, the value (unless secret) and the remedy.

One module for each cloud; `datasets` puts them together, `agreements` is what the datasets of a stack must agree on.
"""

from lightly_infra.spec.datasets import (
    DATASETS_KEY,
    PLACEHOLDER,
    CloudSpec,
    DatasetSpec,
    command_to_set,
    not_set,
    parse,
    parse_account_id,
    placeholders,
    secret_fields,
    secrets_of,
    step,
)
from lightly_infra.spec.errors import SpecError

__all__ = [
    "DATASETS_KEY",
    "PLACEHOLDER",
    "CloudSpec",
    "DatasetSpec",
    "SpecError",
    "command_to_set",
    "not_set",
    "parse",
    "parse_account_id",
    "placeholders",
    "secret_fields",
    "secrets_of",
    "step",
]

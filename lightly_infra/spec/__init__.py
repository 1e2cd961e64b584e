"""What a stack's YAML may say. Every error names the field, the value (unless secret) and the remedy.

One module for each cloud; `datasets` puts them together, `agreements` is what the datasets of a stack must agree on.
"""

from lightly_infra.spec.datasets import (
    CloudSpec,
    DatasetSpec,
    parse,
    parse_account_id,
    secret_fields,
    secrets_of,
    step,
)
from lightly_infra.spec.errors import SpecError

__all__ = ["CloudSpec", "DatasetSpec", "SpecError", "parse", "parse_account_id", "secret_fields", "secrets_of", "step"]

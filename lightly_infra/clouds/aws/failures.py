"""What AWS says when something cannot be made, and what to do then; `lightly_infra.component` shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lightly_infra.component import TAKE_OVER

if TYPE_CHECKING:
    from collections.abc import Mapping

FAILURES: Final[Mapping[str, str]] = {
    r"BucketAlreadyOwnedByYou": (
        "your account has this bucket already. If its region has changed, put the old one back, or choose another name "
        "to have another one made. If it is yours, leave 'create' out to use it as it is, or choose another name. If "
        "an interrupted run of this stack made it (its tag lightly-infra:stack names the stack), take it over: run "
        f"{TAKE_OVER} and `pulumi up` again"
    ),
    r"BucketAlreadyExists": (
        "the bucket's name is taken, by you or by somebody else: names are unique among all accounts. Choose another, "
        "or none to have one generated"
    ),
    r"AccessKeysPerUser": (
        "interrupted runs have left keys of this user that nobody knows: `aws iam list-access-keys` lists them, and "
        "`aws iam delete-access-key` deletes the one that is not registered; then run `pulumi up` again"
    ),
}
"""A regular expression on the provider's words, and the remedy; the first that is found counts."""

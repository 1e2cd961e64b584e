"""What AWS refuses in a policy document; ministack lets most of it pass.

Sources: the IAM user guide's "Grammar of the IAM JSON policy language" and "IAM and AWS STS quotas".
"""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Any, Final

_VERSIONS: Final = ("2012-10-17", "2008-10-17")
_KEYS: Final = frozenset({"Sid", "Effect", "Principal", "Action", "Resource", "Condition"})
_NEGATED: Final = frozenset({"NotPrincipal", "NotAction", "NotResource"})
_PRINCIPALS: Final = frozenset({"AWS", "Service", "Federated", "CanonicalUser"})
_AWS_PRINCIPAL: Final = re.compile(r"\*|\d{12}|A[A-Z0-9]{15,}|arn:aws:(iam|sts)::\d{12}:.+|arn:aws:iam::cloudfront:.+")

ROLE_POLICY_CHARACTERS: Final = 10_240  # all inline policies of a role together, white space not counted
USER_POLICY_CHARACTERS: Final = 2_048  # all inline policies of a user together
TRUST_POLICY_CHARACTERS: Final = 2_048  # the default quota of a role's trust policy


class PolicyKind(Enum):
    """What a policy is attached to decides what its statements must and must not hold."""

    IDENTITY = "identity"
    TRUST = "trust"
    RESOURCE = "resource"


def size(document: str) -> int:
    """The characters that count against a quota: all but white space."""
    return len(re.sub(r"\s", "", document))


def statements(document: str) -> list[dict[str, Any]]:
    """The statements of a valid policy."""
    found = json.loads(document)["Statement"]
    return [found] if isinstance(found, dict) else found


class _Malformed(ValueError):
    pass


def refuse_policy(document: object, kind: PolicyKind) -> str | None:
    """Why AWS refuses the document, or None."""
    try:
        for index, statement in enumerate(_statements(document)):
            try:
                _check_statement(statement, kind)
            except _Malformed as problem:
                return f"MalformedPolicyDocument: statement {index}: {problem}"
    except _Malformed as problem:
        return f"MalformedPolicyDocument: {problem}"
    return None


def _statements(document: object) -> list[object]:
    if not isinstance(document, str):
        raise _Malformed("the policy is not JSON text")
    try:
        policy = json.loads(document)
    except ValueError as error:
        raise _Malformed(f"the policy is not valid JSON ({error})") from error
    if not isinstance(policy, dict):
        raise _Malformed("the policy is not a JSON object")
    if unknown := sorted(set(policy) - {"Version", "Id", "Statement"}):
        raise _Malformed(f"the policy has unknown elements: {', '.join(unknown)}")
    if policy.get("Version", _VERSIONS[0]) not in _VERSIONS:
        raise _Malformed(f"Version {policy['Version']!r} is not one of {' and '.join(_VERSIONS)}")
    found = policy.get("Statement")
    found = [found] if isinstance(found, dict) else found
    if not isinstance(found, list) or not found:
        raise _Malformed("the policy has no Statement")
    return found


def _check_statement(statement: object, kind: PolicyKind) -> None:
    if not isinstance(statement, dict):
        raise _Malformed("it is not an object")
    if unknown := sorted(set(statement) - _KEYS - _NEGATED):
        raise _Malformed(f"unknown elements: {', '.join(unknown)}")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise _Malformed("Effect must be Allow or Deny")
    needs = {
        "Action": True,
        "Resource": kind is not PolicyKind.TRUST,
        "Principal": kind is not PolicyKind.IDENTITY,
    }
    for element, needed in needs.items():
        held = [name for name in (element, f"Not{element}") if name in statement]
        if needed and len(held) != 1:
            raise _Malformed(f"it needs one of {element} and Not{element}")
        if held and not needed:
            raise _Malformed(f"{held[0]} has no place in a policy of this kind")
        if held and not statement[held[0]]:
            raise _Malformed(f"{held[0]} is empty")
    _check_principal(statement.get("Principal", statement.get("NotPrincipal", "*")))


def _check_principal(principal: object) -> None:
    if principal == "*":
        return
    if not isinstance(principal, dict) or not set(principal) <= _PRINCIPALS:
        raise _Malformed(f'Principal must be "*" or an object with some of {", ".join(sorted(_PRINCIPALS))}')
    accounts = principal.get("AWS", [])
    for account in [accounts] if isinstance(accounts, str) else accounts:
        if not isinstance(account, str) or not _AWS_PRINCIPAL.fullmatch(account):
            raise _Malformed(f"invalid principal {account!r}")

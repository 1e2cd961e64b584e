from __future__ import annotations

import pytest

from lightly_infra.clouds.gcp import policy
from lightly_infra.sandbox.gcp.authorise import LIST_PREFIX
from lightly_infra.sandbox.gcp.conditions import ConditionRefused, compile_condition

OBJECT = "projects/_/buckets/acme/objects/raw/a.png"


def holds(expression: str, *, name: str = OBJECT, prefix: str | None = None) -> bool:
    kind = "storage.googleapis.com/Object" if "/objects/" in name else "storage.googleapis.com/Bucket"
    attributes = {} if prefix is None else {LIST_PREFIX: prefix}
    return compile_condition(expression).holds(name=name, kind=kind, attributes=attributes)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("true", True),
        ("!true", False),
        (f'resource.name == "{OBJECT}"', True),
        ('resource.name.endsWith(".png")', True),
        ('resource.type == "storage.googleapis.com/Object"', True),
        ('resource.service == "storage.googleapis.com"', True),
        ('request.time > date("2020-01-01") && request.time < timestamp("2120-01-01T00:00:00Z")', True),
        ("request.time.getFullYear() < 2020", False),
        ('(resource.name.startsWith("a") || resource.name.startsWith("p")) ? true : false', True),
        (r'resource.name.startsWith("projects/_/buckets/acme/objects/\"")', False),
    ],
)
def test_an_expression_means_what_it_says(expression: str, expected: bool) -> None:
    assert holds(expression) is expected


@pytest.mark.parametrize(
    ("name", "prefix", "wide", "expected"),
    [
        (OBJECT, None, False, True),
        ("projects/_/buckets/acme/objects/raw-private/a.png", None, False, False),
        ("projects/_/buckets/other/objects/raw/a.png", None, False, False),
        ("projects/_/buckets/acme", "raw/", False, True),
        ("projects/_/buckets/acme", "raw/deep/", False, True),
        ("projects/_/buckets/acme", "raw", False, False),
        ("projects/_/buckets/acme", "", False, False),
        ("projects/_/buckets/acme", None, False, False),
        ("projects/_/buckets/acme", "", True, True),
        ("projects/_/buckets/acme/objects/other/a.png", None, True, False),
    ],
)
def test_our_own_condition_means_the_prefix(name: str, prefix: str | None, wide: bool, expected: bool) -> None:
    expression = policy.expression("acme", "raw/", bucket_wide_listing=wide)
    assert holds(expression, name=name, prefix=prefix) is expected


def test_an_expression_that_fails_at_a_request_does_not_hold() -> None:
    assert not holds('resource.type.endsWith("Bucket") || timestamp(resource.name) < request.time')


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ('date("tomorrow") < request.time', "has an error"),
        ("resource.name == 3", "no matching overload"),
        (".resource", "do not have"),
        ('{"a": true}["a"]', "do not have"),
        ("size(resource.name) == 3", r"undeclared reference to 'size'"),
        ("resource", "is not true or false"),
        ("api.name", "undefined field 'name'"),
        ("'" + "a" * 3, "Syntax error"),
        (" || ".join(["!true"] * 7), "13 logical operators"),
    ],
)
def test_what_is_no_condition_is_refused(expression: str, words: str) -> None:
    with pytest.raises(ConditionRefused, match=words):
        compile_condition(expression)


def test_an_expression_is_compiled_once() -> None:
    assert compile_condition("true || false") is compile_condition("true || false")

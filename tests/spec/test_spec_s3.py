"""What a stack's YAML may say, and what everything else is told."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lightly_infra import spec
from lightly_infra.lightly.models import REGIONS, DatasetType

if TYPE_CHECKING:
    from lightly_infra.spec.s3 import S3Spec

CANARY = "canary-external-id-0001"
ROLE = "arn:aws:iam::123456789012:role/lightly"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
ID = "0123456789abcdef01234567"

# As in the README and the issue.
EXAMPLE = """
street-scenes:
  type: Images
  input:
    s3: {bucket: acme-raw, prefix: street-scenes/, access: delegated}
  lightly:
    s3: {create: true, prefix: lightly/, access: delegated}
"""


def example() -> dict[str, Any]:
    return dict(yaml.safe_load(EXAMPLE))


def changed(path: str, value: object, *, also: dict[str, object] | None = None) -> dict[str, Any]:
    """The example with one more thing said, at a path in the only dataset."""
    datasets = example()
    for where, it in {path: value, **(also or {})}.items():
        *parents, last = where.split(".")
        at = datasets["street-scenes"]
        for parent in parents:
            at = at[parent]
        at[last] = it
    return datasets


def two(**of_the_second: Any) -> dict[str, Any]:
    """The example and a second dataset like it, with other things said."""
    second = copy.deepcopy(example()["street-scenes"])
    for path, value in of_the_second.items():
        *parents, last = path.split("__")
        at = second
        for parent in parents:
            at = at[parent]
        at[last] = value
    return {**example(), "night-drives": second}


def s3(cloud: spec.CloudSpec) -> S3Spec:
    assert cloud.s3 is not None
    return cloud.s3


def parse(datasets: object, region: str | None = "eu-central-1") -> dict[str, spec.DatasetSpec]:
    return spec.parse(datasets, {"region": region})


def problems(datasets: object, region: str | None = "eu-central-1") -> list[str]:
    with pytest.raises(spec.SpecError) as error:
        parse(datasets, region)
    assert str(error.value) == "\n".join(error.value.problems)
    assert error.value.__context__ is None, "pydantic's error holds the values"
    assert CANARY not in str(error.value)
    return error.value.problems


def problem(datasets: object, region: str | None = "eu-central-1") -> str:
    (only,) = problems(datasets, region)
    return only


# -- what is accepted


def test_the_example_of_the_readme_is_accepted() -> None:
    (dataset,) = parse(example()).values()
    source, target = s3(dataset.input), s3(dataset.lightly)
    assert dataset.type is DatasetType.IMAGES
    assert (source.bucket, source.prefix, source.create) == ("acme-raw", "street-scenes/", False)
    assert (target.bucket, target.prefix, target.create) == (None, "lightly/", True)


def test_the_defaults_keep_everything_and_create_nothing_twice() -> None:
    (dataset,) = parse(example()).values()
    assert (dataset.on_destroy, dataset.adopt, dataset.id, dataset.name) == ("keep", False, None, None)
    assert (s3(dataset.input).kms_key_arn, s3(dataset.input).allowed_source_ips) == (None, [])


def test_access_delegated_is_short_for_its_kind() -> None:
    short, long = (changed("input.s3.access", it) for it in ("delegated", {"kind": "delegated"}))
    assert parse(short) == parse(long)


def test_the_region_is_the_stacks_unless_the_datasource_names_one() -> None:
    (dataset,) = parse(changed("lightly.s3.region", "us-east-1")).values()
    assert (s3(dataset.input).region, s3(dataset.lightly).region) == ("eu-central-1", "us-east-1")


def test_a_prefix_becomes_a_directory() -> None:
    (dataset,) = parse(changed("input.s3.prefix", "raw")).values()
    assert s3(dataset.input).prefix == "raw/"


def test_a_host_address_becomes_a_range() -> None:
    (dataset,) = parse(changed("input.s3.allowed_source_ips", ["203.0.113.7", "2001:db8::/32"])).values()
    assert s3(dataset.input).allowed_source_ips == ["203.0.113.7/32", "2001:db8::/32"]


@pytest.mark.parametrize("type_", DatasetType)
def test_every_type_of_dataset_is_accepted(type_: DatasetType) -> None:
    (dataset,) = parse(changed("type", type_.value)).values()
    assert dataset.type is type_


@pytest.mark.parametrize("region", [it for it in REGIONS if it.startswith(("cn-", "us-gov"))])
def test_other_partitions_are_reached_by_keys(region: str) -> None:
    (dataset,) = parse(changed("input.s3.access", "keys", also={"input.s3.region": region})).values()
    assert s3(dataset.input).region == region


def test_the_same_prefix_in_two_buckets_is_no_overlap() -> None:
    assert parse(changed("lightly.s3.prefix", "street-scenes/", also={"lightly.s3.bucket": "acme-lightly"}))


def test_siblings_in_one_bucket_are_no_overlap() -> None:
    datasets = changed("lightly.s3", {"bucket": "acme-raw", "prefix": "street-scenes-lightly/", "access": "delegated"})
    assert parse(datasets)


def test_one_bucket_may_be_made_for_two_datasets_that_agree_on_it() -> None:
    both = two(lightly__s3={"create": True, "bucket": "acme-lightly", "prefix": "b/", "access": "delegated"})
    both["street-scenes"]["lightly"]["s3"]["bucket"] = "acme-lightly"
    assert len(parse(both)) == 2


def test_a_bucket_that_one_dataset_makes_may_be_used_by_another() -> None:
    both = two(input__s3={"bucket": "acme-lightly", "prefix": "b/", "access": "delegated"})
    both["street-scenes"]["lightly"]["s3"]["bucket"] = "acme-lightly"
    assert len(parse(both)) == 2


# -- what is refused; each line of the "Bad input" that can be seen in the YAML


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        # an unknown key, with the nearest known one
        ("inputs", {}, "street-scenes.inputs: unknown key; did you mean 'input'?"),
        ("input.s3.prefx", "a/", "street-scenes.input.s3.prefx: unknown key; did you mean 'prefix'?"),
        ("lightly.s3.kms_key", KEY, "street-scenes.lightly.s3.kms_key: unknown key; did you mean 'kms_key_arn'?"),
        (
            "input.s3.access",
            {"kind": "delegated", "externalid": CANARY},
            "street-scenes.input.s3.access.externalid: unknown key; did you mean 'external_id'?",
        ),
        (
            "lightly.s3.access_logs",
            {"bucket": "acme-logs", "prefixes": "a"},
            "street-scenes.lightly.s3.access_logs.prefixes: unknown key; did you mean 'prefix'?",
        ),
        (
            "qqq",
            1,
            "street-scenes.qqq: unknown key; known keys: name, formerly, type, id, adopt, take_over, replace_",
        ),
        # neither or two clouds
        ("input", {}, "street-scenes.input: no cloud: say where the data is with one of s3, azure, gcs, obs, such"),
        ("input", None, "street-scenes.input: no cloud: say where the data is"),
        ("input", "s3://acme-raw/", "street-scenes.input: 's3://acme-raw/': write a mapping"),
        ("input.gcs", {}, "street-scenes.input: 2 clouds (s3, gcs): a datasource is in one; keep one"),
        ("input", {"azure": {}, "obs": {}}, "street-scenes.input: 2 clouds (azure, obs)"),
        ("input", {"gcs": None}, "street-scenes.input: gcs: empty; say where the data is, such as 'gcs: {prefix: …}'"),
        # names, types and ids
        ("name", "a", "street-scenes.name: dataset name 'a': use at least 3 characters"),
        ("name", "été", "street-scenes.name: dataset name 'été': use at least 3 characters, first a letter or a"),
        ("type", "Image", "street-scenes.type: 'Image' is not a dataset type; use one of Images, Videos, Crops"),
        ("type", 1, "street-scenes.type: 1 is not a dataset type"),
        ("id", "123", "street-scenes.id: dataset id '123': an id is 24 characters of 0-9 and a-f"),
        ("on_destroy", "forget", "street-scenes.on_destroy: 'forget': use 'keep' or 'delete'"),
        ("verify_deadline", 0, "street-scenes.verify_deadline: 0: write a number greater than 0"),
        ("verify_deadline", -1, "street-scenes.verify_deadline: -1: write a number greater than 0"),
        ("verify_deadline", "soon", "street-scenes.verify_deadline: 'soon': write a number"),
        ("verify_deadline", True, "street-scenes.verify_deadline: True: write a number"),
        ("verify_deadline", float("inf"), "street-scenes.verify_deadline: inf: write a number"),
        # region
        (
            "input.s3.region",
            "eu-cental-1",
            "'eu-cental-1' is not one of the 30 regions that Lightly knows; the nearest: eu-central-1",
        ),
        ("input.s3.region", "us-gov-east-1", "'us-gov-east-1' is not one of the 30 regions"),
        ("input.s3.region", "mars", "street-scenes.input.s3.region: 'mars' is not one of the 30 regions"),
        # bucket name
        ("input.s3.bucket", "Acme_Raw", "street-scenes.input.s3.bucket: 'Acme_Raw' is no S3 bucket name: 3 to 63"),
        ("input.s3.bucket", None, "street-scenes.input.s3: bucket is missing: name yours, or write 'create: true'"),
        ("lightly.s3.access_logs", {"bucket": "X"}, "street-scenes.lightly.s3.access_logs.bucket: 'X' is no S3"),
        # prefix
        ("input.s3.prefix", "a/../b", "street-scenes.input.s3.prefix: 'a/../b' holds '.' or '..'"),
        ("input.s3.prefix", "/raw", "street-scenes.input.s3.prefix: '/raw' starts with a slash"),
        ("input.s3.prefix", "raw/*", "street-scenes.input.s3.prefix: 'raw/*' holds '*'"),
        # access
        ("input.s3.access", "password", "street-scenes.input.s3.access.kind: 'password': use 'delegated' or 'keys'"),
        ("input.s3.access", None, "street-scenes.input.s3.access: empty: write a mapping"),
        (
            "input.s3.access",
            {"kind": "delegated", "role_arn": "arn:aws-cn:iam::123456789012:role/x", "external_id": CANARY},
            "access.role_arn: 'arn:aws-cn:iam::123456789012:role/x' is not a role ARN that Lightly accepts: arn:",
        ),
        (
            "input.s3.access",
            {"kind": "delegated", "role_arn": ROLE},
            "street-scenes.input.s3.access: role_arn needs external_id: give the one that the role's trust policy",
        ),
        (
            "input.s3.access",
            {"kind": "keys", "external_id": CANARY},
            "street-scenes.input.s3.access: external_id belongs to kind 'delegated'",
        ),
        (
            "input.s3.access",
            {"kind": "delegated", "role_arn": ROLE, "external_id": CANARY, "permissions_boundary": BOUNDARY},
            "street-scenes.input.s3.access: permissions_boundary: a role of your own is not changed",
        ),
        (
            "input.s3.access",
            {"kind": "keys", "permissions_boundary": "boundary"},
            "street-scenes.input.s3.access.permissions_boundary: 'boundary' is no policy's ARN; it looks like arn:",
        ),
        (
            "input.s3.access",
            {"kind": "keys", "share": "A_B"},
            "street-scenes.input.s3.access.share: 'A_B' is not a valid share name; use at most 38 lower-case letters,",
        ),
        ("input.s3.access", {"kind": "keys", "share": "acme\n"}, "access.share: 'acme\\n' is not a valid share name"),
        # KMS
        (
            "input.s3.kms_key_arn",
            "alias/acme",
            "street-scenes.input.s3.kms_key_arn: 'alias/acme' is an alias; give the key's ARN, arn:aws:kms:REGION",
        ),
        (
            "input.s3.kms_key_arn",
            "arn:aws:kms:eu-central-1:123456789012:alias/acme",
            "is an alias; give the key's ARN",
        ),
        ("input.s3.kms_key_arn", "1234", "street-scenes.input.s3.kms_key_arn: '1234' is no key ARN"),
        (
            "input.s3.kms_key_arn",
            KEY.replace("eu-central-1", "us-east-1"),
            "34cd-56ef-1234567890ab' is a key of 'us-east-1', but the bucket is in 'eu-central-1'; S3 needs a key",
        ),
        # what is not for a bucket of the user's own
        ("input.s3.versioning", True, "street-scenes.input.s3: versioning is for buckets that are made here; yours"),
        ("input.s3.access_logs", {"bucket": "acme-logs"}, "street-scenes.input.s3: access_logs is for buckets"),
        # other values
        ("input.s3.allowed_source_ips", ["here"], "allowed_source_ips.0: 'here' is no address range; write it as CIDR"),
        ("input.s3.allowed_source_ips", ["10.0.0.1/8"], "'10.0.0.1/8' is no address range"),
        ("input.s3.allowed_source_ips", "here", "allowed_source_ips: 'here': write a list, such as [one, two]"),
        ("input.s3.allowed_source_ips", [7], "allowed_source_ips.0: 7: write text, in quotes where it looks like"),
        ("input.s3.create", "yes", "street-scenes.input.s3.create: 'yes': write true or false"),
        ("adopt", "yes", "street-scenes.adopt: 'yes': write true or false"),
        ("input.s3.prefix", 5, "street-scenes.input.s3.prefix: 5: write text, in quotes where it looks like something"),
        ("input.s3.prefix", None, "street-scenes.input.s3.prefix: empty: write text"),
        ("input.s3.tags", ["a"], "street-scenes.input.s3.tags: a list: write a mapping"),
        ("input.s3.tags", {"a": 1}, "street-scenes.input.s3.tags.a: 1: write text, in quotes where it looks like"),
        ("type", {"a": 1}, "street-scenes.type: a mapping is not a dataset type; use one of Images"),
        (
            "input.s3.access",
            {"kind": ["keys"]},
            "street-scenes.input.s3.access.kind: a list: use 'delegated' or 'keys'",
        ),
        # tags against AWS's rules
        (
            "input.s3.tags",
            {"aws:team": "a"},
            "tags: 'aws:team': AWS keeps keys that start with 'aws:'; use another key",
        ),
        ("input.s3.tags", {"AWS:team": "a"}, "tags: 'AWS:team': AWS keeps keys that start with 'aws:'"),
        ("input.s3.tags", {str(it): "" for it in range(48)}, "tags: 48 tags; AWS has room for 47 beside ours"),
        ("input.s3.tags", {"": "a"}, "tags: '': AWS allows 1 to 128 characters in a key; this has 0"),
        ("input.s3.tags", {"k" * 129: "a"}, "kkk…': AWS allows 1 to 128 characters in a key; this has 129"),
        ("input.s3.tags", {"team": "v" * 257}, "'team': AWS allows 256 characters in a value; shorten 'vvv"),
    ],
)
def test_a_bad_value_is_told_where_it_is_and_what_to_do(path: str, value: object, said: str) -> None:
    assert said in problem(changed(path, value))


def test_a_long_value_is_shortened() -> None:
    said = problem(changed("on_destroy", "x" * 1000))
    assert said == f"street-scenes.on_destroy: '{'x' * 57}…': use 'keep' or 'delete'"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("input.s3.access", [CANARY]),
        ("input.s3.access", [{"kind": "delegated", "external_id": CANARY}]),
        ("input.s3.access", {"kind": {"external_id": CANARY}}),
        ("input.s3.access", {"kind": "keys", "secret_access_key": CANARY}),
        ("input.s3.prefix", {"external_id": CANARY}),
        ("type", [CANARY]),
        ("input", [{"s3": {"access": {"external_id": CANARY}}}]),
    ],
)
def test_what_may_hold_a_secret_is_told_without_it(path: str, value: object) -> None:
    assert "canary" not in problem(changed(path, value))


@pytest.mark.parametrize("range_", ["0.0.0.0/0", "::/0"])
def test_a_source_range_that_is_every_address_is_refused(range_: str) -> None:
    said = problem(changed("input.s3.allowed_source_ips", [range_]))
    assert f"allowed_source_ips.0: '{range_}' is every address and restricts nothing; name your own ranges" in said


@pytest.mark.parametrize(
    "range_", ["10.0.0.0/8", "10.1.2.3", "172.16.0.0/12", "172.31.255.0/24", "192.168.1.0/24", "fc00::/7", "fd12::/48"]
)
def test_a_private_source_range_is_refused(range_: str) -> None:
    said = problem(changed("input.s3.allowed_source_ips", ["203.0.113.0/24", range_]))
    assert f"allowed_source_ips.1: '{range_}' is a private range, which S3 never sees" in said


@pytest.mark.parametrize(
    "range_", ["203.0.113.0/24", "198.51.100.7/32", "172.15.0.0/16", "172.32.0.0/16", "11.0.0.0/8", "2001:db8::/32"]
)
def test_other_source_ranges_are_accepted(range_: str) -> None:
    (dataset,) = parse(changed("input.s3.allowed_source_ips", [range_])).values()
    assert s3(dataset.input).allowed_source_ips == [range_]


def test_tags_may_be_as_long_as_aws_allows() -> None:
    tags = {"k" * 128: "v" * 256, "team-aws:": ""}
    (dataset,) = parse(changed("lightly.s3.tags", tags)).values()
    assert s3(dataset.lightly).tags == tags


def test_a_key_of_the_buckets_own_region_is_accepted_whatever_the_stacks() -> None:
    key = KEY.replace("eu-central-1", "us-east-1")
    (dataset,) = parse(changed("input.s3.kms_key_arn", key, also={"input.s3.region": "us-east-1"})).values()
    assert s3(dataset.input).kms_key_arn == key


@pytest.mark.parametrize("region", ["us-gov-east", "us-gov-west"])
def test_no_bucket_is_made_in_a_region_that_aws_calls_otherwise(region: str) -> None:
    bucket = {"prefix": "lightly/", "access": "keys", "region": region}
    assert problem(changed("lightly.s3", {**bucket, "create": True})) == (
        f"street-scenes.lightly.s3: create: no bucket can be made in '{region}', as Lightly calls the region: AWS "
        f"calls it '{region}-1'; make the bucket yourself and name it as 'bucket', without 'create'"
    )
    assert parse(changed("lightly.s3", {**bucket, "bucket": "acme-lightly"}))


@pytest.mark.parametrize("missing", ["input", "lightly"])
def test_a_dataset_needs_both_datasources(missing: str) -> None:
    datasets = example()
    del datasets["street-scenes"][missing]
    assert problem(datasets) == f"street-scenes.{missing}: missing; add it"


@pytest.mark.parametrize("missing", ["prefix", "access"])
def test_a_datasource_needs_a_prefix_and_an_access(missing: str) -> None:
    datasets = example()
    del datasets["street-scenes"]["input"]["s3"][missing]
    assert problem(datasets) == f"street-scenes.input.s3.{missing}: missing; add it"


@pytest.mark.parametrize("datasets", [None, {}, [], "street-scenes", 3])
def test_a_stack_declares_at_least_one_dataset(datasets: object) -> None:
    assert problem(datasets) == (
        "lightly-infra:datasets: declare at least one dataset, as a mapping of name to dataset"
    )


@pytest.mark.parametrize("key", ["a", "été", "x" * 2])
def test_the_key_of_a_dataset_is_its_name_and_must_be_one(key: str) -> None:
    datasets = {key: example()["street-scenes"]}
    assert problem(datasets).startswith(f"lightly-infra:datasets: dataset name {key!r}: use at least 3 characters")


def test_a_key_that_is_no_dataset_name_goes_with_a_name() -> None:
    datasets = {"a": {**example()["street-scenes"], "name": "Street scenes"}}
    assert parse(datasets)["a"].name == "Street scenes"


def test_a_key_needs_something_to_name_resources_by() -> None:
    datasets = {"__": {**example()["street-scenes"], "name": "Street scenes"}}
    assert "'__': a dataset's key needs a letter or a digit" in problem(datasets)


def test_without_any_region_one_is_asked_for() -> None:
    assert problems(example(), region=None) == [
        f"street-scenes.{it}.s3: region is missing: name the bucket's region here, or set aws:region for the stack"
        for it in ("input", "lightly")
    ]


def test_a_stack_region_that_lightly_does_not_know_is_refused() -> None:
    assert all("'il-central-1' is not one of the 30 regions" in it for it in problems(example(), "il-central-1"))


@pytest.mark.parametrize("region", ["cn-northwest-1", "us-gov-east", "us-gov-west"])
def test_roles_of_other_partitions_are_refused_in_time(region: str) -> None:
    assert f"street-scenes.input.s3: access: Lightly cannot assume roles in {region} (partition aws-" in problem(
        changed("input.s3.region", region)
    )


@pytest.mark.parametrize("external_id", ["canary", "", "canary-canary-é", "canary with spaces"])
def test_a_bad_external_id_is_refused_and_never_shown(external_id: str) -> None:
    said = problem(changed("input.s3.access", {"kind": "delegated", "external_id": external_id}))
    assert said.startswith("street-scenes.input.s3.access.external_id: ")
    assert "too short" in said if len(external_id) < 10 else "character that Lightly refuses" in said
    assert "canary" not in said


@pytest.mark.parametrize("external_id", [1234567890123, ["canary-canary"], {"canary": "canary"}, True])
def test_an_external_id_of_another_kind_is_refused_and_never_shown(external_id: object) -> None:
    said = problem(changed("input.s3.access", {"kind": "delegated", "external_id": external_id}))
    assert said.startswith("street-scenes.input.s3.access.external_id: ")
    assert "canary" not in said
    assert "1234567890123" not in said


def test_an_external_id_is_in_no_repr() -> None:
    access = {"kind": "delegated", "role_arn": ROLE, "external_id": CANARY}
    datasets = parse(changed("input.s3.access", access))
    assert CANARY not in repr(datasets)
    assert CANARY not in str(datasets)
    given = s3(datasets["street-scenes"].input).access.external_id
    assert given is not None
    assert given.get_secret_value() == CANARY


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("raw/", "raw/lightly/", "lightly.s3.prefix 'raw/lightly/' lies in input.s3.prefix 'raw/'"),
        ("", "lightly/", "lightly.s3.prefix 'lightly/' lies in input.s3.prefix ''"),
        ("raw/", "raw/", "lightly.s3.prefix 'raw/' lies in input.s3.prefix 'raw/'"),
        ("lightly/raw/", "lightly/", "input.s3.prefix 'lightly/raw/' lies in lightly.s3.prefix 'lightly/'"),
    ],
)
def test_overlapping_prefixes_of_one_bucket_are_refused(source: str, target: str, said: str) -> None:
    datasets = changed(
        "input.s3.prefix",
        source,
        also={"lightly.s3": {"bucket": "acme-raw", "prefix": target, "access": "delegated"}},
    )
    assert f"street-scenes: {said} of the same bucket" in problem(datasets)


def test_a_dataset_found_by_id_keeps_its_name() -> None:
    assert problem(changed("id", ID, also={"name": "Street scenes"})) == (
        "street-scenes: name: the dataset of an 'id' keeps its name; remove one of the two"
    )


def test_two_keys_must_differ_in_what_resources_are_named_by() -> None:
    datasets = {"street scenes": example()["street-scenes"], **example()}
    assert "'street-scenes' and 'street scenes' would name cloud resources alike; change one" in problem(datasets)


def test_two_datasets_cannot_have_one_name() -> None:
    said = problem(two(name="street-scenes"))
    assert "'night-drives' and 'street-scenes' are both called 'street-scenes' at Lightly; change one name" in said


def test_two_declarations_cannot_be_one_dataset() -> None:
    datasets = two(id=ID)
    datasets["street-scenes"]["id"] = ID
    assert f"'night-drives' and 'street-scenes' are both dataset {ID}; remove one" in problem(datasets)


def test_a_share_is_one_identity() -> None:
    datasets = two(input__s3__access={"kind": "keys", "share": "acme"})
    datasets["street-scenes"]["input"]["s3"]["access"] = {"kind": "delegated", "share": "acme"}
    assert problem(datasets) == (
        "lightly-infra:datasets: night-drives.input.s3.access: share 'acme' is another one in "
        "street-scenes.input.s3.access"
    )


def test_a_share_with_two_external_ids_is_refused_without_showing_either() -> None:
    datasets = two(input__s3__access={"kind": "delegated", "share": "acme", "external_id": CANARY})
    access = {"kind": "delegated", "share": "acme", "external_id": f"{CANARY}-other"}
    datasets["street-scenes"]["input"]["s3"]["access"] = access
    assert "share 'acme' is another one" in problem(datasets)


@pytest.mark.parametrize(
    "difference",
    [
        {"lightly__s3__kms_key_arn": KEY},
        {"lightly__s3__versioning": True},
        {"lightly__s3__access_logs": {"bucket": "acme-logs"}},
    ],
)
def test_a_bucket_is_made_in_one_way(difference: dict[str, Any]) -> None:
    datasets = two(**{"lightly__s3__bucket": "acme-lightly", "lightly__s3__prefix": "b/", **difference})
    datasets["street-scenes"]["lightly"]["s3"]["bucket"] = "acme-lightly"
    assert "night-drives.lightly.s3: bucket 'acme-lightly' is made in another way by street-scenes.lightly.s3" in (
        problem(datasets)
    )


def test_a_bucket_is_in_one_region() -> None:
    assert problem(two(input__s3__prefix="b/", input__s3__region="us-east-1")) == (
        "lightly-infra:datasets: night-drives.input.s3.region: 'us-east-1', but for street-scenes.input.s3 the bucket "
        "'acme-raw' is in 'eu-central-1'; a bucket is in one region"
    )


def in_one_bucket(purpose: str, prefix: str, other_purpose: str, other_prefix: str) -> dict[str, Any]:
    """Two datasets, of which one datasource each is in `acme-shared`, and all else in buckets of its own."""
    datasets = two(input__s3__bucket="acme-night")
    for key, of, directory in (("street-scenes", purpose, prefix), ("night-drives", other_purpose, other_prefix)):
        datasets[key][of]["s3"] = {"bucket": "acme-shared", "prefix": directory, "access": "delegated"}
    return datasets


@pytest.mark.parametrize(("target", "source"), [("raw/", "raw/"), ("raw/lightly/", "raw/"), ("lightly/", "")])
def test_what_lightly_writes_for_one_dataset_is_not_the_input_of_another(target: str, source: str) -> None:
    said = (
        f"street-scenes.lightly.s3.prefix: {target!r} lies in night-drives.input.s3.prefix {source!r} of the same "
        "bucket: what Lightly writes would come in as Input; put it beside"
    )
    datasets = in_one_bucket("lightly", target, "input", source)
    assert problem(datasets) == f"lightly-infra:datasets: {said}"
    assert problem(dict(reversed(datasets.items()))) == f"lightly-infra:datasets: {said}"


@pytest.mark.parametrize("source", ["lightly/crops/", "lightly-raw/", "raw/"])
def test_the_crops_of_one_dataset_may_be_the_input_of_another(source: str) -> None:
    assert len(parse(in_one_bucket("lightly", "lightly/", "input", source))) == 2


@pytest.mark.parametrize(
    ("one", "other", "inner"), [("a/", "a/", "a/"), ("a/", "a/b/", "a/b/"), ("a/b/", "a/", "a/b/"), ("", "a/", "a/")]
)
def test_two_datasets_do_not_overwrite_each_other(one: str, other: str, inner: str) -> None:
    said = problem(in_one_bucket("lightly", one, "lightly", other))
    assert f"lightly.s3.prefix: {inner!r} lies in " in said
    assert said.endswith("the datasets would overwrite each other's files; give each a directory of its own")


@pytest.mark.parametrize(("one", "other"), [("a/", "b/"), ("a/", "ab/"), ("a/b/", "a/c/")])
def test_two_datasets_may_write_side_by_side(one: str, other: str) -> None:
    assert len(parse(in_one_bucket("lightly", one, "lightly", other))) == 2


def test_two_datasets_may_read_the_same_input() -> None:
    assert len(parse(in_one_bucket("input", "raw/", "input", "raw/"))) == 2


@pytest.mark.parametrize(
    ("logs", "user"),
    [("acme-lightly", "night-drives.lightly.s3"), ("acme-night", "night-drives.input.s3")],
)
def test_access_logs_go_to_no_bucket_that_the_stack_uses(logs: str, user: str) -> None:
    datasets = two(
        input__s3__bucket="acme-night", lightly__s3__bucket="acme-lightly", lightly__s3__access_logs={"bucket": logs}
    )
    assert problem(datasets) == (
        f"lightly-infra:datasets: night-drives.lightly.s3.access_logs.bucket: {logs!r} is the bucket of {user}, where "
        "logs would be logged again or come in as Input; name a bucket that only takes logs"
    )


def test_a_role_of_yours_has_one_external_id_which_is_not_shown() -> None:
    access = {"kind": "delegated", "role_arn": ROLE, "external_id": CANARY}
    datasets = two(input__s3__access={**access, "external_id": f"{CANARY}-other"})
    datasets["street-scenes"]["input"]["s3"]["access"] = access
    assert problem(datasets) == (
        f"lightly-infra:datasets: night-drives.input.s3.access.external_id: role '{ROLE}' has another one in "
        "street-scenes.input.s3.access; give both the one that the role's trust policy asks for"
    )
    datasets["night-drives"]["input"]["s3"]["access"] = access
    assert len(parse(datasets)) == 2


def test_every_problem_is_told_at_once() -> None:
    datasets = changed("input.s3.prefix", "/raw", also={"lightly.s3.region": "mars", "typo": 1})
    assert len(problems(datasets)) == 3


@pytest.mark.parametrize("account", ["12345678901", "1234567890123", "acme", "١٢٣٤٥٦٧٨٩٠١٢"])
def test_an_account_id_is_twelve_digits(account: str) -> None:
    with pytest.raises(spec.SpecError, match=r"lightly-infra:lightly_account_id: .* is no AWS account id"):
        spec.parse_account_id(account)


def test_an_account_id_is_optional() -> None:
    assert spec.parse_account_id(None) is None
    assert spec.parse_account_id("123456789012") == "123456789012"


# -- whatever is written, the answer is a dataset or a SpecError

WORDS = st.sampled_from(
    [
        *("type", "input", "lightly", "s3", "gcs", "azure", "obs", "bucket", "prefix", "access", "kind", "share"),
        *("role_arn", "external_id", "create", "tags", "allowed_source_ips", "region", "id", "name", "delegated"),
        *("keys", "acme-raw", "Images", "a/", "eu-central-1", ROLE, KEY, CANARY),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | WORDS
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


def refusal(datasets: object, region: str | None) -> spec.SpecError | None:
    try:
        parse(datasets, region)
    except spec.SpecError as error:
        return error
    return None


@given(JSON, st.none() | st.text(max_size=12) | st.just("eu-central-1"))
def test_anything_at_all_is_parsed_or_refused(datasets: object, region: str | None) -> None:
    error = refusal(datasets, region)
    if error is not None:
        assert error.problems
        assert error.__context__ is None


PATHS = st.sampled_from(
    [
        *("type", "input", "lightly", "name", "id", "verify_deadline", "input.s3", "lightly.s3", "input.s3.bucket"),
        *("input.s3.access", "lightly.s3.prefix", "input.s3.allowed_source_ips", "lightly.s3.tags", "input.s3.region"),
        *("input.s3.kms_key_arn", "lightly.s3.access_logs", "lightly.s3.create"),
    ]
)


@given(PATHS, JSON)
def test_anything_at_any_place_of_a_good_stack_is_parsed_or_refused(path: str, value: object) -> None:
    error = refusal(changed(path, value), "eu-central-1")
    if error is not None:
        assert error.problems
        assert all(": " in it for it in error.problems)
        assert not any("nput should" in it or "nable to" in it for it in error.problems), "pydantic's own words"


def datasets_sharing(kind: str, count: int) -> dict[str, object]:
    access = {"kind": kind, "share": "acme"}
    return {
        f"dataset-{index}": {
            "input": {"s3": {"bucket": "acme-raw", "prefix": f"raw/{index}/", "access": access}},
            "lightly": {"s3": {"bucket": "acme-lightly", "prefix": f"{index}/", "access": access}},
        }
        for index in range(count)
    }


@pytest.mark.parametrize(("kind", "fitting", "limit"), [("keys", 3, 2048), ("delegated", 15, 10240)])
def test_one_identity_serves_only_as_many_datasources_as_its_policies_have_room_for(
    kind: str, fitting: int, limit: int
) -> None:
    assert len(spec.parse(datasets_sharing(kind, fitting), {"region": "eu-central-1"})) == fitting

    with pytest.raises(spec.SpecError, match=f"IAM's {limit} characters; let it get in by a share of its own"):
        spec.parse(datasets_sharing(kind, 40), {"region": "eu-central-1"})

"""The parts of the engines that need no engine: values, paths, URNs, messages, delete order, events, plugins."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from google.protobuf import descriptor_pb2, message_factory, struct_pb2
from hypothesis import given
from hypothesis import strategies as st
from pulumi.automation import EngineEvent
from pulumi.runtime.proto import alias_pb2, provider_pb2_grpc, resource_pb2
from pulumi.runtime.proto import provider_pb2 as messages

from lightly_infra.sandbox.engine.assets import asset_of, content_of, elided, hashed, restored
from lightly_infra.sandbox.engine.document import outputs_of, sealed_document, secrets_of
from lightly_infra.sandbox.engine.goals import external_of, goal_of
from lightly_infra.sandbox.engine.interface import Secret, UnsupportedFeature
from lightly_infra.sandbox.engine.messages import Scrubber
from lightly_infra.sandbox.engine.paths import contains, parse_path, reset_ignored
from lightly_infra.sandbox.engine.plugins import CHANNEL_OPTIONS
from lightly_infra.sandbox.engine.state import ResourceState, delete_waves
from lightly_infra.sandbox.engine.urns import alias_urns, make_urn
from lightly_infra.sandbox.engine.values import (
    SECRET_SIGNATURE,
    SIGNATURE,
    UNKNOWN,
    annotate_secrets,
    changed_paths,
    copy,
    from_struct,
    holds_secret,
    plain,
    reveal,
    sealed,
    to_struct,
)
from lightly_infra.sandbox.resource_type import Input
from lightly_infra.updates.changes import Change, Failure, Operation
from lightly_infra.updates.listener import Listener
from lightly_infra.updates.messages import describe, last_message, printed
from tests.sandbox.engine_harness import PROVIDERS

if TYPE_CHECKING:
    from pathlib import Path

names = st.text(min_size=1, max_size=5).filter(lambda name: name != SIGNATURE)
leaves = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.just(UNKNOWN)
trees = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))
values = trees | trees.map(Secret) | st.dictionaries(names, trees.map(Secret), max_size=3)
properties = st.dictionaries(names, values, max_size=4)


@given(properties)
def test_properties_survive_the_wire_with_secrets_and_unknowns(given_properties: dict[str, Any]) -> None:
    sent = to_struct(given_properties, secrets=True, unknowns=True)
    assert from_struct(struct_pb2.Struct.FromString(sent.SerializeToString())) == given_properties


@given(properties)
def test_without_secrets_the_wire_carries_the_revealed_values(given_properties: dict[str, Any]) -> None:
    sent = to_struct(given_properties, unknowns=True)
    assert from_struct(sent) == reveal(given_properties)


@given(properties)
def test_nothing_has_changed_between_a_value_and_its_copy_secret_or_not(given_properties: dict[str, Any]) -> None:
    known = {key: value for key, value in given_properties.items() if not _holds_unknown(value)}
    assert changed_paths(known, copy(known)) == []
    assert changed_paths(known, reveal(known)) == []


def _holds_unknown(value: object) -> bool:
    return "UNKNOWN" in str(reveal(value))


@given(st.text(min_size=1), properties)
def test_a_sealed_secret_shows_nothing_of_its_value(value: str, others: dict[str, Any]) -> None:
    hidden = sealed({**others, "secret": Secret({"inner": [value]})})["secret"]
    assert hidden == {SIGNATURE: SECRET_SIGNATURE, "ciphertext": "[secret]"}
    assert str(Secret(value)) == repr(Secret(value)) == "[secret]"


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ({"a": 1.0}, {"a": True}, [("a",)]),
        ({"a": None}, {}, []),
        ({"a": 1.0}, {"a": Secret(1.0)}, []),
        ({"a": 1.0}, {"a": UNKNOWN}, [("a",)]),
        ({"a": {"b": 1.0, "c": 2.0}}, {"a": {"b": 2.0, "c": 2.0}}, [("a", "b")]),
        ({"a": [1.0, 2.0]}, {"a": [1.0, 3.0, 4.0]}, [("a", 1), ("a", 2)]),
        ({"a": [1.0]}, {"a": {"b": 1.0}}, [("a",)]),
    ],
)
def test_changes_are_found_where_they_are(old: dict[str, Any], new: dict[str, Any], paths: list[Any]) -> None:
    assert changed_paths(old, new) == paths


def test_assets_are_the_same_when_their_hash_is() -> None:
    text, file = asset_of(b"one"), {**elided(asset_of(b"one")), "path": "elsewhere"}
    assert changed_paths({"a": [text]}, {"a": [Secret(file)]}) == []
    assert changed_paths({"a": [text]}, {"a": [asset_of(b"two")]}) == [("a", 0)]
    assert Input().same(text, file)
    assert not Input().same(text, asset_of(b"two"))


def test_an_asset_that_comes_back_as_its_hash_gets_its_content_again() -> None:
    given = {"a": Secret(asset_of(b"one")), "b": [asset_of(b"two")], "c": 1.0}
    assert restored(elided(given), given) == given
    assert restored(elided({"a": asset_of(b"other")}), given) == elided({"a": asset_of(b"other")})
    assert "text" not in str(elided(given)["b"])


def test_what_an_asset_holds_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff\x00")
    file = hashed({SIGNATURE: asset_of(b"")[SIGNATURE], "path": str(tmp_path / "file")})
    assert content_of(file) == b"\xff\x00"
    assert file["hash"] == asset_of(b"\xff\x00")["hash"]
    assert "text" not in asset_of(b"\xff\x00")
    assert content_of(asset_of("ä".encode())) == "ä".encode()
    assert content_of(asset_of(b"")) == b""
    with pytest.raises(ValueError, match="StringAsset or a FileAsset"):
        content_of({**asset_of(b""), "uri": "http://127.0.0.1:1/x"})


def test_outputs_under_the_key_of_a_secret_input_become_secret() -> None:
    outputs = {"a": "x", "b": {"c": "y", "d": "z"}, "e": ["p", "q"], "f": "free"}
    annotate_secrets(outputs, {"a": Secret("x"), "b": {"c": Secret("y"), "d": "z"}, "e": ["p", Secret("q")], "g": 1})
    assert outputs == {"a": Secret("x"), "b": {"c": Secret("y"), "d": "z"}, "e": Secret(["p", "q"]), "f": "free"}
    assert holds_secret(outputs)
    assert not holds_secret(reveal(outputs))


def test_whole_numbers_are_ints_for_people() -> None:
    assert repr(plain({"a": 3.0, "b": [2.5, True], "c": Secret(4.0).value})) == "{'a': 3, 'b': [2.5, True], 'c': 4}"


def test_what_is_no_property_value_is_refused() -> None:
    with pytest.raises(TypeError, match="object is no property value"):
        to_struct({"a": object()})


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("root", ("root",)),
        ("root.nested", ("root", "nested")),
        ('root["a.b"].c', ("root", "a.b", "c")),
        ('["say \\"hi\\""][0]', ('say "hi"', 0)),
        ("rules[*].days", ("rules", "*", "days")),
    ],
)
def test_property_paths_are_parsed(text: str, path: tuple[str | int, ...]) -> None:
    assert parse_path(text) == path


@pytest.mark.parametrize("text", [".a", "a[", "a[b]", "a..b"])
def test_what_is_no_property_path_is_refused_and_ignored_where_it_is_to_be_ignored(text: str) -> None:
    with pytest.raises(ValueError, match="is not a property path"):
        parse_path(text)
    assert reset_ignored({"a": 2}, {"a": 1}, (text,)) == {"a": 2}


def test_a_path_contains_what_is_at_or_below_it() -> None:
    assert contains(("a", "*"), ("a", 0, "b"))
    assert not contains(("a", "b"), ("a",))
    assert not contains(("a", "b"), ("a", "c"))


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        ("a", {"a": 1}, {"a": 2}, {"a": 1}),
        ("a", {}, {"a": 2}, {}),
        ("a", {"a": 1}, {}, {"a": 1}),
        ("a", Secret({"a": 1}), {"a": 2}, {"a": Secret(1)}),
        ("a.b", {"a": {"b": 1}}, {"a": {"b": 2, "c": 3}}, {"a": {"b": 1, "c": 3}}),
        ("a.b", {"a": {"b": 1}}, {"a": 5}, {"a": 5}),
        ("a.b", {"a": {"b": 1}}, {}, {}),
        ("a[1]", {"a": [1, 2]}, {"a": [3, 4]}, {"a": [3, 2]}),
        ("a[1]", {"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ("a[*].b", {"a": [{"b": 1}]}, {"a": [{"b": 2}, {"b": 3}]}, {"a": [{"b": 1}, {"b": 3}]}),
        ("a.*", {"a": {"x": 1}}, {"a": {"x": 2, "y": 3}}, {"a": {"x": 1}}),
        ("a.*", {"a": 1}, {"a": {"x": 2}}, {"a": {"x": 2}}),
    ],
)
def test_ignored_changes_are_set_back(path: str, old: Any, new: dict[str, Any], expected: dict[str, Any]) -> None:
    assert reset_ignored(new, old, (path,)) == expected


def test_aliases_cover_every_part_of_a_urn_and_what_the_parent_was_called() -> None:
    parent = make_urn("dev", "p", "", "t:Parent", "new")
    found = alias_urns(
        [
            alias_pb2.Alias(urn="urn:given"),
            alias_pb2.Alias(spec=alias_pb2.Alias.Spec(name="n2", type="t:Old", project="p2", stack="s2")),
            alias_pb2.Alias(spec=alias_pb2.Alias.Spec(noParent=True)),
        ],
        stack="dev",
        project="p",
        parent=parent,
        type_="t:Child",
        name="new-child",
        used={},
    )
    assert found == [
        "urn:given",
        "urn:pulumi:s2::p2::t:Parent$t:Old::n2",
        "urn:pulumi:dev::p::t:Child::new-child",
    ]
    inherited = alias_urns(
        [],
        stack="dev",
        project="p",
        parent=parent,
        type_="t:Child",
        name="new-child",
        used={parent: make_urn("dev", "p", "", "t:Parent", "old")},
    )
    assert inherited == ["urn:pulumi:dev::p::t:Parent$t:Child::old-child"]


def _state(name: str, **fields: Any) -> ResourceState:
    return ResourceState(urn=f"urn:pulumi:dev::p::t::{name}", type="t", custom=True, **fields)


def test_deletes_come_in_waves_of_what_nothing_left_depends_on() -> None:
    root = _state("root")
    parent = ResourceState(urn="urn:pulumi:dev::p::c::parent", type="c", custom=False)
    child = _state("child", parent=parent.urn)
    user = _state("user", dependencies=(parent.urn,))  # waits for the component's children too
    leaf = _state("leaf", property_dependencies={"a": (root.urn,)}, deleted_with=child.urn)
    everything = [root, parent, child, user, leaf]
    waves = delete_waves(everything, everything)
    assert [sorted(state.name for state in wave) for wave in waves] == [["leaf", "user"], ["child"], ["parent", "root"]]


TRACEBACK = """Traceback (most recent call last):
  File "a.py", line 1, in f
    g()
KeyError: 'a'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 2, in h
    raise Refused("...")
acme.errors.Refused: the role is unknown
  to this account
try another"""


def test_a_traceback_is_told_by_its_last_message_alone() -> None:
    assert last_message(TRACEBACK) == "the role is unknown\n  to this account\ntry another"
    assert last_message("api.lightly.ai: refused") == "api.lightly.ai: refused"


def test_an_exception_is_described_with_its_notes_and_without_its_module() -> None:
    error = ValueError("no region")
    error.add_note("set aws:region")
    assert describe(error) == "no region\nset aws:region"
    assert describe(KeyError("x")) == "KeyError: 'x'"
    assert describe(RuntimeError()) == "RuntimeError"


def test_known_secrets_are_hidden_in_every_form_and_short_ones_left_alone() -> None:
    scrubber = Scrubber()
    key = "-----BEGIN KEY-----\nabcdefghijklmnopqrstuvwxyz\n-----END KEY-----"
    scrubber.learn({"a": Secret('pa"ss w/ord'), "b": "open", "c": Secret({"d": [123456.0, True, None, "abc"]})})
    scrubber.learn(key, secret=True)
    told = scrubber.scrub('pa"ss w/ord pa\\"ss w/ord pa%22ss+w%2Ford 123456 True open abc abcdefghijklmnopqrstuvwxyz')
    assert told == "[secret] [secret] [secret] [secret] True open abc [secret]"


def test_labels_that_google_clouds_sdk_marks_as_secrets_are_none() -> None:
    scrubber = Scrubber()
    labels = Secret({"goog-pulumi-provisioned": "true", "lightly-infra-name": "lightly-scenes-input"})
    scrubber.learn({"effectiveLabels": labels, "pulumiLabels": labels, "privateKey": Secret("canary-key")})
    assert scrubber.scrub("true lightly-scenes-input canary-key") == "true lightly-scenes-input [secret]"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("info: it exists", ("info", "it exists")),
        ("warning: it is replaced", ("warning", "it is replaced")),
        ("Lightly: a line of its own", ("info", "Lightly: a line of its own")),
    ],
)
def test_what_a_provider_prints_is_told_with_its_severity_once(line: str, told: tuple[str, str]) -> None:
    assert printed(line) == told


def test_of_a_datasource_that_is_a_secret_as_a_whole_only_the_secrets_are_hidden() -> None:
    source = {"type": "S3", "full_path": "s3://acme-raw/", "s3_secret_access_key": "canary-key", "purpose": "INPUT"}
    scrubber = Scrubber()
    scrubber.learn({"datasources": Secret([source])})
    assert scrubber.scrub("INPUT s3://acme-raw/ canary-key") == "INPUT s3://acme-raw/ [secret]"
    # What is marked itself is one, whatever it is called.
    scrubber.learn({"datasources": [{**source, "full_path": Secret("s3://canary-bucket/")}]})
    assert scrubber.scrub("s3://acme-raw/ s3://canary-bucket/") == "s3://acme-raw/ [secret]"


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("aliasURNs", ["urn:old"], "the field 'aliasURNs' of RegisterResourceRequest"),  # no SDK sends it to us
        ("importId", "id-1", "importing resources"),
        ("packageRef", "ref", "parameterized packages"),
        ("envVarMappings", {"A": "B"}, "environment variable mappings of providers"),
    ],
)
def test_a_field_that_nobody_here_knows_is_refused_by_name(field: str, value: Any, named: str) -> None:
    with pytest.raises(UnsupportedFeature, match=named):
        goal_of(resource_pb2.RegisterResourceRequest(type="a:b:C", name="n", **{field: value}))


def test_a_read_with_a_field_that_nobody_here_knows_is_refused_by_name() -> None:
    known = resource_pb2.ReadResourceRequest(type="a:b:C", name="n", id="1", version="2", acceptSecrets=True)
    assert external_of("u", known).id == "1"
    known.packageRef = "ref"
    with pytest.raises(UnsupportedFeature, match="parameterized packages"):
        external_of("u", known)


def test_what_a_newer_sdk_asks_for_is_refused() -> None:
    """The SDK's own description of the request with one field more, as a release after this one may have."""
    file = descriptor_pb2.FileDescriptorProto(name="newer.proto", package="newer", syntax="proto3")
    field = file.message_type.add(name="ReadResourceRequest").field.add(
        name="wormhole", number=99, json_name="wormhole"
    )
    field.type, field.label = field.TYPE_BOOL, field.LABEL_OPTIONAL
    newer = message_factory.GetMessages([file])["newer.ReadResourceRequest"]
    with pytest.raises(UnsupportedFeature, match="the field 'wormhole' of ReadResourceRequest"):
        external_of("u", cast("Any", newer(wormhole=True)))


def test_what_is_of_no_consequence_is_let_through() -> None:
    request = resource_pb2.RegisterResourceRequest(
        type="a:b:C",
        name="n",
        version="1",
        pluginDownloadURL="https://example.com",
        providers={"a": "urn::id"},
        customTimeouts=resource_pb2.RegisterResourceRequest.CustomTimeouts(create="5m"),
        hooks=resource_pb2.RegisterResourceRequest.ResourceHooksBinding(),
        hideDiffs=["a"],
        snippetId="s",
    )
    assert goal_of(request).name == "n"


def _event(**parts: Any) -> EngineEvent:
    return EngineEvent.from_json({"sequence": 1, "timestamp": 1, **parts})


def _step(op: str, *, type_: str = "a:b:C", custom: bool = True, **fields: Any) -> EngineEvent:
    state = {"type": type_, "urn": "u", "id": "i", "custom": custom, "parent": "", "provider": ""}
    metadata = {"op": op, "urn": f"urn:pulumi:s::p::{type_}::n", "type": type_, "new": state, **fields}
    return _event(resOutputsEvent={"metadata": metadata})


def _error(message: str, urn: str = "", severity: str = "error") -> EngineEvent:
    return _event(diagnosticEvent={"message": message, "color": "never", "severity": severity, "urn": urn})


def test_the_events_of_the_cli_become_changes() -> None:
    announced: list[Change] = []
    listener = Listener(Scrubber(), announced.append, None)
    for event in (
        _step("create"),
        _step("update", diffs=["b", "a"]),
        _step("update", detailedDiff={"tags.x": {"diffKind": "update", "inputDiff": True}}),
        _step("create-replacement", keys=["name"], diffs=["name", "size"]),
        _step("replace"),
        _step("delete-replaced"),
        _step("create", custom=False),
        _step("create", type_="pulumi:providers:aws"),
    ):
        listener(event)
    assert [(change.operation, change.keys) for change in announced] == [
        (Operation.CREATE, ()),
        (Operation.UPDATE, ("a", "b")),
        (Operation.UPDATE, ("tags",)),
        (Operation.REPLACE, ("name",)),
    ]
    assert listener.changes == announced


def test_the_diagnostics_of_the_cli_become_failures_each_once_and_without_secrets() -> None:
    logged: list[tuple[str, str]] = []
    scrubber = Scrubber()
    scrubber.learn("hunter22", secret=True)
    listener = Listener(scrubber, None, lambda *entry: logged.append(entry))
    listener(_error("<{%fg 1%}>it is hunter22<{%reset%}>\n", "u1"))
    listener(_error("it is hunter22", "u1"))
    listener(_error("a:b:C resource 'n': property size value {-1} has a problem: must be positive", "u2"))
    listener(_error("a:b:C resource 'n' has a problem: is odd", "u2"))
    listener(_error("update failed"))
    listener(_error("careful, hunter22", severity="warning"))
    listener(_error("noise", severity="debug"))
    listener(_error("using pulumi-resource-fake from $PATH at /x", severity="warning"))
    listener.program_failed(ValueError("no region"))
    listener.cli_failed("exit status 255")
    assert listener.failures() == (
        Failure("u1", "it is [secret]"),
        Failure("u2", "size: must be positive"),
        Failure("u2", "is odd"),
        Failure("", "no region"),
    )
    assert logged == [("warning", "careful, [secret]")]


def test_a_cli_that_fails_before_it_reports_anything_is_told_by_its_output() -> None:
    listener = Listener(Scrubber(), None, None)
    listener.cli_failed("error: no such stack")
    assert listener.failures() == (Failure("", "error: no such stack"),)


def test_an_exported_document_gives_outputs_and_secrets_but_shows_none() -> None:
    hidden = {SIGNATURE: SECRET_SIGNATURE, "plaintext": '{"a": "hunter22"}'}
    stack = {"type": "pulumi:pulumi:Stack", "outputs": {"n": 1, "list": [hidden]}}
    document = {"version": 3, "deployment": {"resources": [stack]}}
    assert outputs_of(document) == {"n": 1, "list": [Secret({"a": "hunter22"})]}
    assert {"n": 1, "list": [Secret({"a": "hunter22"})]} in secrets_of(document)
    assert "hunter22" not in str(sealed_document(document))
    assert outputs_of({"version": 3, "deployment": {}}) == {}


def test_an_emulated_provider_is_served_as_a_plugin_until_its_input_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lightly_infra.sandbox.engine.plugin", PROVIDERS["fake"]]
    env = {**os.environ, "FAKE_CLOUD": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as plugin:
        assert plugin.stdout is not None
        assert plugin.stdin is not None
        port = int(plugin.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            created = stub.Create(messages.CreateRequest(properties=to_struct({"name": "a"})))
            assert from_struct(created.properties)["arn"] == "arn:a"
            with pytest.raises(grpc.RpcError) as failed:
                stub.Create(messages.CreateRequest(properties=to_struct({"name": "b", "fails": "no room"})))
            assert failed.value.details() == "no room"
            with pytest.raises(grpc.RpcError) as missing:
                stub.GetMapping(messages.GetMappingRequest())
            assert missing.value.code() is grpc.StatusCode.UNIMPLEMENTED
        plugin.stdin.close()
        assert plugin.wait(20) == 0

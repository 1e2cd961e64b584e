"""What a killed run has left on AWS is listed with the commands that remove it; storage that is kept is no orphan."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from lightly_infra.clouds.aws.policy import access_policy, to_json, trust_policy
from lightly_infra.health import State
from lightly_infra.leftovers import Known
from lightly_infra.permissions import Purpose
from lightly_infra.sandbox.engine.environment import environment
from lightly_infra.sandbox.project import settings
from lightly_infra.stack import leftovers
from tests.e2e.runs import deploy

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightly_infra.health import Finding
    from lightly_infra.sandbox.engine.interface import Program
    from lightly_infra.sandbox.environment import Sandbox

DOCUMENT = access_policy(purpose=Purpose.INPUT, bucket_arn="arn:aws:s3:::acme-raw", prefix="raw/")
TRUST = trust_policy(external_id="canary-external-id")


def carry_out(client: Any, command: str) -> None:
    """Runs a command of the AWS CLI, whose words are the API's own."""
    _, _, operation, *options = shlex.split(command)
    words = {it.removeprefix("--"): value for it, value in zip(options[::2], options[1::2], strict=True)}
    given = {"".join(part.title() for part in name.split("-")): value for name, value in words.items()}
    getattr(client, operation.replace("-", "_"))(**given)


def test_identities_that_no_state_knows_are_listed_and_removed_by_the_commands_told(
    sandbox: Sandbox, program: Callable[..., Program], street_scenes: dict[str, Any]
) -> None:
    street_scenes["street-scenes"]["input"]["s3"]["access"] = {"kind": "keys", "rotate_every_days": 30}
    stack = program(street_scenes)
    deploy(sandbox, stack)

    def found() -> list[Finding]:
        known = Known.of(sandbox.export()["deployment"]["resources"])
        with environment(sandbox.environment):
            return list(leftovers.find(settings(stack), known))

    assert [it.message for it in found()] == ["nothing on s3"]
    iam, s3 = sandbox.aws.client("iam"), sandbox.aws.client("s3")
    made = next(it for it in iam.list_users()["Users"])
    tags = iam.list_user_tags(UserName=made["UserName"])["Tags"]
    iam.create_user(UserName="lightly-orphan", Tags=tags)
    iam.create_user(UserName="lightly-of-another-stack", Tags=[{**it, "Value": "else"} for it in tags])
    iam.create_access_key(UserName="lightly-orphan")
    iam.put_user_policy(UserName="lightly-orphan", PolicyName="left", PolicyDocument=to_json(DOCUMENT))
    iam.create_role(RoleName="lightly-orphan", AssumeRolePolicyDocument=to_json(TRUST), Tags=tags)
    s3.create_bucket(Bucket="acme-kept", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_bucket_tagging(Bucket="acme-kept", Tagging={"TagSet": tags})

    role, user, bucket = found()

    assert [it.state for it in (role, user, bucket)] == [State.EXPIRING, State.EXPIRING, State.HEALTHY]
    assert bucket.message.startswith("kept: S3 bucket acme-kept")
    for it in (role, user):
        commands = re.findall("`([^`]*)`", it.message)
        assert commands == it.details["commands"]
        for command in commands:
            carry_out(iam, command)
    (after,) = found()
    assert after.details["name"] == "acme-kept"
    assert iam.get_user(UserName="lightly-of-another-stack")

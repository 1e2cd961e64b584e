"""A datasource on OBS (Huawei Cloud, Open Telekom Cloud and others), as the YAML says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from lightly_infra.clouds.obs import policy
from lightly_infra.lightly import models
from lightly_infra.located import located
from lightly_infra.spec.fields import BucketSpec, Claim

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BucketName = Annotated[str, AfterValidator(policy.check_bucket)]
Endpoint = Annotated[str, AfterValidator(policy.check_endpoint)]
User = Annotated[str, AfterValidator(policy.check_user)]
AccessKeyId = Annotated[models.Filled, AfterValidator(policy.check_access_key_id)]

_SET_SECRET = "`pulumi config set --secret --path`"  # noqa: S105 - a command, and no secret


def _region(value: str) -> str:
    if not value or not value.replace("-", "").isalnum():
        raise ValueError(f"{value!r} is not a region; it looks like eu-de or cn-north-4")
    return value


class ObsSpec(BucketSpec):
    """A directory in an OBS bucket: one of yours (`bucket`), or one that is made (`create: true`)."""

    scheme: ClassVar[str] = "obs"

    endpoint: Endpoint = Field(
        description="The cloud's OBS, such as `https://obs.eu-de.otc.t-systems.com`. Default: `obs:endpoint`."
    )
    bucket: BucketName | None = Field(
        None,
        description="Your bucket; with `create`, the new one's name. Default with `create`: a generated one.",
    )
    create: bool = Field(
        default=False,
        description="Make the bucket. Default: use yours, and change nothing on it.",
    )
    region: Annotated[str, AfterValidator(_region)] | None = Field(
        None,
        validate_default=True,
        description="The bucket's region. Default: what the endpoint says, or else `obs:region`.",
    )
    addressing: Literal["path", "virtual"] = Field(
        default="path",
        description="Where the bucket stands in the URLs that make it: in the `path`, or in front of the host "
        "(`virtual`).",
    )
    access_key_id: AccessKeyId = Field(
        description="Of the key that Lightly gets: of a user made for it, without permissions of its own."
    )
    secret_access_key: models.FilledSecret = Field(description=f"The key itself; set it with {_SET_SECRET}.")
    user: User | None = Field(
        None,
        description="The user whose key it is, as a bucket policy names it: `arn:aws:iam::DOMAIN_ID:user/USER_ID`. "
        "Needed with `create`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            return value
        given = {name: it for name, it in value.items() if it is not None}
        context = info.context or {}
        if "endpoint" not in given:
            if context.get("obs_endpoint") is None:
                raise ValueError(
                    "endpoint is missing: name your cloud's OBS here, such as https://obs.eu-de.otc.t-systems.com, or "
                    "set obs:endpoint for the stack"
                )
            given["endpoint"] = context["obs_endpoint"]
        if "access_key_id" not in given:
            raise ValueError("access_key_id is missing: give the id of the key that Lightly gets")
        if "secret_access_key" not in given:
            raise ValueError(f"secret_access_key is missing: set the one of access_key_id with {_SET_SECRET}")
        return given

    @field_validator("region")
    @classmethod
    def _of_the_endpoint(cls, region: str | None, info: ValidationInfo) -> str | None:
        if "endpoint" not in info.data:  # it is wrong, and told
            return region
        said = policy.region_of(info.data["endpoint"])
        if region and said and region != said:
            raise ValueError(
                f"{region!r}, but the endpoint is that of {said!r}: remove the region, or change the endpoint"
            )
        default = (info.context or {}).get("obs_region")
        return region or said or (_region(default) if default else None)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.bucket is not None:
            with located("endpoint"):
                policy.check_endpoint(self.endpoint, bucket=self.bucket)
            if "." in self.bucket and self.addressing == "virtual" and self.endpoint.startswith("https:"):
                raise ValueError(
                    f"addressing: 'virtual' puts {self.bucket!r} in front of the host, where no certificate covers a "
                    "name with a dot; use 'path'"
                )
        if not self.create:
            self.check_brought()
            return self
        if self.user is None:
            raise ValueError(
                "user is missing: the policy of a bucket that is made names whom it lets in; give the user whose key "
                "it is: arn:aws:iam::DOMAIN_ID:user/USER_ID"
            )
        if self.region is None:
            raise ValueError(
                "region is missing: the endpoint does not say where to make the bucket; name the region here, or set "
                "obs:region for the stack"
            )
        return self

    @property
    def place(self) -> str | None:
        """The bucket, in its cloud: another cloud may have one of the same name."""
        return f"obs://{policy.cloud_of(self.endpoint)}/{self.bucket}" if self.bucket else None

    @property
    def told(self) -> dict[str, str]:
        """The path, and in which cloud."""
        return {"type": "OBS", "obs_endpoint": self.endpoint, **super().told}

    def holds(self, told: Mapping[str, str]) -> bool:
        """Whether the path begins with the bucket, on this cloud."""
        endpoint = told.get("obs_endpoint") or ""
        return policy.cloud_of(endpoint) == policy.cloud_of(self.endpoint) and super().holds(told)

    def claims(self) -> Iterator[Claim]:
        """Whose a key is, and where and how a bucket is made."""
        cloud = policy.cloud_of(self.endpoint)
        yield Claim(
            ("obs key", cloud, self.access_key_id),
            self.secret_access_key,
            "secret_access_key",
            f"the key {self.access_key_id!r} has another secret in {{other}}; give both the same",
        )
        if self.user is not None:
            yield Claim(
                ("obs user", cloud, self.access_key_id),
                self.user,
                "user",
                f"the key {self.access_key_id!r} is another user's in {{other}}; a key belongs to one",
            )
        if self.place is None:
            return
        yield Claim(
            ("obs host", self.place),
            policy.host_of(self.endpoint),
            "endpoint",
            f"{self.endpoint!r}, but {{other}} reaches the bucket {self.bucket!r} by another one; write both alike",
        )
        if self.create:
            # Of this name alone: a stack calls the bucket's resource by it.
            yield Claim(
                ("obs maker", str(self.bucket)),
                cloud,
                "bucket",
                f"{{other}} makes a bucket {self.bucket!r} too, on another cloud; give one of them another name",
            )
            yield self.made_alike(self.region, self.addressing)
        # Only those that make it, and those that could not be let in, have to say something here.
        if self.create or self.user is None:
            yield Claim(
                ("obs users", self.place),
                self.create,
                "user",
                f"missing, but {{other}} makes the bucket {self.bucket!r}, whose policy names whom it lets in; give "
                "the user whose key it is",
            )

"""A datasource on Azure Blob Storage, as the YAML says it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, model_validator

from lightly_infra import epochs, ownership
from lightly_infra.clouds.azure import policy, sas
from lightly_infra.located import located
from lightly_infra.spec.fields import Claim, DatasourceSpec, Placed, RotateEveryDays, is_stand_in, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lightly_infra.permissions import Purpose

# What Azure allows in tags ("Use tags to organize your Azure resources"; storage accounts: 15 tags).
_MAX_TAGS: Final = 15 - ownership.TAGS
_MAX_TAG_KEY: Final = 128
_MAX_TAG_VALUE: Final = 256
_NOT_IN_TAG_KEYS: Final = "<>%&\\?/"

# What is made, from the outside in: each makes all that comes after it, too.
_LEVELS: Final = ("resource_group", "account", "container")
_ACCOUNT_FIELDS: Final = ("location", "sku", "hierarchical_namespace", "soft_delete_days", "tags")


def _create(value: object) -> object:
    if value is True:
        return "resource_group"
    if value is False or value in _LEVELS:
        return value
    raise ValueError(f"{shown(value)}: use true, false, 'container', 'account' or 'resource_group'")


def _location(value: str) -> str:
    # `azure-native:location` may be a display name, such as "West Europe".
    short = value.lower().replace(" ", "")
    if not re.fullmatch(r"[a-z0-9]+", short):
        raise ValueError(f"{shown(value)} is not a location's name; it looks like 'westeurope'")
    return short


def _tags(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > _MAX_TAGS:
        raise ValueError(f"{len(tags)} tags; Azure has room for {_MAX_TAGS} beside ours: remove some")
    for key, value in tags.items():
        if not 0 < len(key) <= _MAX_TAG_KEY:
            raise ValueError(f"{shown(key)}: Azure allows 1 to {_MAX_TAG_KEY} characters in a key; this has {len(key)}")
        if odd := next((it for it in key if it in _NOT_IN_TAG_KEYS), None):
            raise ValueError(f"{shown(key)}: Azure allows no {odd!r} in a key; use another")
        if len(value) > _MAX_TAG_VALUE:
            raise ValueError(
                f"{shown(key)}: Azure allows {_MAX_TAG_VALUE} characters in a value; shorten {shown(value)}, "
                f"which has {len(value)}"
            )
    return tags


AccountName = Annotated[str, AfterValidator(policy.check_account)]
ContainerName = Annotated[str, AfterValidator(policy.check_container)]
ResourceGroupName = Annotated[str, AfterValidator(policy.check_resource_group)]
Location = Annotated[str, AfterValidator(_location)]
Sku = Literal["Standard_LRS", "Standard_ZRS", "Standard_GRS", "Standard_RAGRS", "Standard_GZRS", "Standard_RAGZRS"]
Tags = Annotated[dict[str, str], AfterValidator(_tags)]


class AzureSpec(DatasourceSpec):
    """A directory in a container: one of yours, or one that is made, if need be with its account and resource group."""

    scheme: ClassVar[str] = "azure"
    lifecycle_remedy: ClassVar[str] = "add a rule to the account's yourself, or have one made with 'create: account'"

    account: AccountName | None = Field(
        None, description="The storage account. Default, where it is made: a generated one."
    )
    container: ContainerName | None = Field(
        None, description="The container. Default, where it is made: one called like the dataset."
    )
    resource_group: ResourceGroupName | None = Field(
        None,
        description="The account's resource group; not needed with `sas_token`. Default, where it is made: a generated "
        "one.",
    )
    create: Annotated[Literal["container", "account", "resource_group"] | bool, BeforeValidator(_create)] = Field(
        default=False,
        description="What is made: `container` (in your account), `account` (with the container, in your resource "
        "group), `resource_group` or `true` (all three). Default: use yours, and change nothing on it.",
    )
    container_wide: bool = Field(
        default=False,
        description="With a `prefix`: that it is fine if Lightly gets into all of the container, as it does with a "
        "container's SAS. A container of its own, with `prefix: ''`, is safer.",
    )
    rotate_every_days: RotateEveryDays = Field(
        90, description="The SAS is signed anew on the first day of every epoch of so many days, and lives two of them."
    )
    sas_token: SecretStr | None = Field(
        None,
        description="A SAS of your own, with just the permissions that the purpose needs; set it with "
        "`pulumi config set --secret --path`. Default: signed here.",
    )
    directory_sas: bool = Field(
        default=False,
        description="Limit the SAS to the prefix, so that Lightly gets into that directory alone; needs an account "
        "with hierarchical namespace. With `sas_token`: that it is limited so.",
    )
    location: Location | None = Field(
        None,
        description="Where a resource group and an account are made. Default: `azure-native:location`; of an account "
        "in a resource group of yours, else where that is.",
    )
    sku: Sku = Field(
        "Standard_LRS",
        description="The redundancy of an account that is made: `Standard_` and `LRS`, `ZRS`, `GRS`, `RAGRS`, `GZRS` "
        "or `RAGZRS`.",
    )
    hierarchical_namespace: bool = Field(
        default=False, description="Make the account with real directories. It is decided once, for the whole account."
    )
    soft_delete_days: Annotated[int, Field(ge=1, le=365)] = Field(
        7, description="For how long what is deleted in an account that is made can be brought back."
    )
    tags: Tags = Field(default_factory=dict, description="Tags of the account and resource group that are made.")

    @model_validator(mode="before")
    @classmethod
    def _location_of_the_stack(cls, value: Any, info: ValidationInfo) -> Any:
        makes_group = isinstance(value, dict) and value.get("create") in (True, "resource_group")
        if not makes_group or value.get("location") is not None:
            return value
        return value | {"location": (info.context or {}).get("azure_location")}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        policy.check_prefix(self.prefix, made=self.creates)
        self._says_what_is_needed()
        self._sets_only_what_is_made()
        self._sas_fits()
        return self

    def makes(self, level: Literal["container", "account", "resource_group"]) -> bool:
        """Whether it makes a container, an account, or a resource group."""
        return isinstance(self.create, str) and _LEVELS.index(self.create) <= _LEVELS.index(level)

    @property
    def place(self) -> str | None:
        """The container and its account."""
        return f"azure://{self.account}/{self.container}" if self.account and self.container else None

    @property
    def storage(self) -> str | None:
        """The container's name."""
        return self.container

    def holds(self, told: Mapping[str, str]) -> bool:
        """Whether the path begins with the container, and the account is the same."""
        path = told.get("full_path") or ""
        return told.get("account_name") == self.account and path.partition("/")[0] == self.container

    @property
    def creates(self) -> bool:
        """Whether the container is made."""
        return self.makes("container")

    @property
    def told(self) -> dict[str, str]:
        """The path, and the account that it is in."""
        account = {"account_name": self.account} if self.account else {}
        path = {"full_path": f"{self.container}/{self.prefix}"} if self.container else {}
        return {"type": "AZURE", **account, **path}

    @property
    def reach(self) -> str:
        """Everything in the container, if the SAS is not a directory's."""
        return self.prefix if self.directory_sas else ""

    @property
    def makes_lifecycle(self) -> bool:
        """Whether the account is made: its management policy is one document for all of its containers."""
        return self.makes("account")

    @property
    def rotates(self) -> bool:
        """Whether a SAS is signed here, anew in every epoch."""
        return self.sas_token is None

    def how_to_end(self, signed_with: str, path: str) -> str:
        """Regenerates a key of the account."""
        account = self.account or path.removeprefix("azure://").partition("/")[0]
        return f"az storage account keys renew --account-name {account} --key {signed_with}"

    def placed(self) -> Iterator[Placed]:
        """The locations of a resource group and of an account."""
        if self.location and self.resource_group and self.makes("resource_group"):
            yield Placed("resource group", self.resource_group, "location", self.location)
        if self.location and self.account and self.makes("account"):
            yield Placed("account", self.account, "location", self.location)

    def claims(self) -> Iterator[Claim]:
        """How a resource group and an account are made, and what lies in them."""
        group, account = self.resource_group, self.account
        if group and self.makes("resource_group"):
            about = ("azure resource group", group.lower())
            yield Claim(about, self.location, "location", f"resource group {group!r} is made elsewhere by {{other}}")
            tagged = f"resource group {group!r} is made with other tags by {{other}}"
            yield Claim(("tags of azure resource group", group.lower()), self.tags, "tags", tagged)
        if not account:
            return
        if self.makes("account"):
            yield Claim(
                ("azure account", account),
                (self.location, self.sku, self.hierarchical_namespace, self.soft_delete_days, self.tags),
                "",
                f"account {account!r} is made in another way by {{other}}",
            )
        if self.makes("account") or not self.creates:
            yield Claim(
                ("containers are made in", account),
                self.creates,
                "create",
                f"account {account!r} is made by {{other}}, and so are all its containers: write 'create: container' "
                "here, too; one of the same name is made once",
            )
        if self.makes("account") or self.directory_sas:
            yield Claim(
                ("hierarchical namespace of", account),
                self.hierarchical_namespace or self.directory_sas,
                "directory_sas" if self.directory_sas else "hierarchical_namespace",
                f"the SAS of a directory needs 'hierarchical_namespace: true' where account {account!r} is made; "
                "compare {other}",
            )
        if group or self.makes("account"):
            yield Claim(
                ("resource group of", account),
                group.lower() if group else None,
                "resource_group",
                f"account {account!r} is in another one in {{other}}; an account is in one resource group",
            )

    def check_purpose(self, purpose: Purpose) -> None:
        """Refuses a SAS that does not open just what the purpose needs."""
        super().check_purpose(purpose)
        if self.sas_token is None or is_stand_in(token := self.sas_token.get_secret_value()):
            return
        with located("sas_token"):
            sas.check(token, purpose=purpose, now=epochs.now(), directory=self.reach)

    def _says_what_is_needed(self) -> None:
        for level in reversed(_LEVELS):
            needed = level != "resource_group" or self.sas_token is None
            if needed and not self.makes(level) and getattr(self, level) is None:
                kind = level.replace("_", " ")
                raise ValueError(f"{level} is missing: name your {kind}, or write 'create: {level}' to have one made")
        if self.makes("resource_group") and self.location is None:
            raise ValueError(
                "location is missing: say where the resource group is made, such as 'location: westeurope', or set "
                "azure-native:location for the stack"
            )

    def _sets_only_what_is_made(self) -> None:
        if self.makes("account"):
            return
        for field in _ACCOUNT_FIELDS:
            if field in self.model_fields_set:
                raise ValueError(
                    f"{field} is for accounts that are made here; yours is not changed: remove it, or have one made "
                    "with 'create: account'"
                )

    def _sas_fits(self) -> None:
        policy.check_reach(self.prefix, directory_sas=self.directory_sas, container_wide=self.container_wide)
        if self.directory_sas and self.makes("account") and not self.hierarchical_namespace:
            raise ValueError(
                "directory_sas needs 'hierarchical_namespace: true' beside it: an account is made with real "
                "directories, or has none"
            )
        if self.sas_token is None:
            return
        if self.create:
            raise ValueError("create: a SAS of your own (sas_token) is for a container of yours; remove one of the two")
        if "rotate_every_days" in self.model_fields_set:
            raise ValueError(
                "rotate_every_days: a SAS of your own (sas_token) is not signed anew; remove one of the two"
            )

"""What a change of the YAML does to what this stack has already: refused, warned of, or said before it happens.

docs/transitions.md is the table of all changes. The YAML is compared with what the stack had after its last run
(`previous`); where that is not known, nothing is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pulumi
from pulumi.runtime.sync_await import _sync_await

from lightly_infra import paths
from lightly_infra.clouds.gcp import roles
from lightly_infra.clouds.obs.policy import cloud_of
from lightly_infra.spec.obs import ObsSpec
from lightly_infra.spec.s3 import S3Spec
from lightly_infra.stack.builder import access_name, datasource_name, resource_name
from lightly_infra.stack.lifecycles import Findings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lightly_infra.permissions import Purpose
    from lightly_infra.spec import CloudSpec, DatasetSpec
    from lightly_infra.spec.fields import DatasourceSpec
    from lightly_infra.stack import previous
    from lightly_infra.stack.previous import Previous

    Datasets = Mapping[str, DatasetSpec]

# How to remove by hand what stays in a cloud, by its type.
_BY_HAND: Final = {
    "aws:s3/bucket:Bucket": "aws s3 rb --force s3://{}",
    "azure-native:resources:ResourceGroup": "az group delete --name {}",
    "azure-native:storage:StorageAccount": "az storage account delete --name {}",
    "azure-native:storage:BlobContainer": "az storage container delete --name {} --account-name ACCOUNT",
    "gcp:storage/bucket:Bucket": "gcloud storage rm --recursive gs://{}",
    "pulumi-python:dynamic/obs:Bucket": "obsutil rm obs://{0} -r -f, then obsutil rm obs://{0} -f",
}

_IDENTITIES: Final = ("role", "user", "service account", "key")

# Of these, what an access makes anew in every epoch; it deletes those before.
_RENEWED: Final = ("user", "key")


def check(datasets: Datasets, before: Previous) -> None:
    """Tells what the YAML of today does to what was there before.

    Raises:
        pulumi.RunError: it would take away what it names, make what exists, or go on with a role that somebody has
            deleted; nothing has been touched by then.
    """
    found = findings(datasets, before)
    names = [str(it.outputs["name"]) for it in before.of(roles.TYPE) if it.outputs.get("name")]
    found.refusals.extend(map(roles.how_to_undelete, _sync_await(roles.deleted(names))))
    found.tell(f"the config of stack {pulumi.get_stack()!r} conflicts with what is already deployed")


def findings(datasets: Datasets, before: Previous) -> Findings:
    """What is to be said of a stack's datasets, in view of what was there before."""
    found = Findings(
        refusals=[
            *_identities(datasets, before),
            *_existing(datasets, before),
            *_grants(datasets, before),
            *_encrypted(datasets, before),
            *_renamed(datasets, before),
            *_moved(datasets, before),
            *_swapped(datasets, before),
        ]
    )
    if not found.refusals:
        _tell_of_replaced(found, datasets, before)
        _tell_of_leaving(found, datasets, before)
    return found


class Staying:
    """Tells which storage leaves the stack, and stays in its cloud."""

    def __init__(self, before: Previous) -> None:
        """Watches what the program declares from now on."""
        self._made = [it for it in before.made if it.resource.type in _BY_HAND]
        self._declared: set[tuple[str, str]] = set()
        pulumi.runtime.register_stack_transformation(self._watch)

    def tell(self) -> None:
        """Once all is declared."""
        for it in self._made:
            if (it.resource.type, it.resource.name) not in self._declared:
                command = _BY_HAND[it.resource.type].format(it.name)
                pulumi.log.info(
                    f"{it.kind} {it.name!r} leaves the stack and stays in its cloud, with all that is in it and all "
                    f"that guards it; when nobody needs it any more, delete it by hand: {command}"
                )

    def _watch(self, args: pulumi.ResourceTransformationArgs) -> None:
        self._declared.add((args.type_, args.name))


def _sources(datasets: Datasets) -> Iterator[tuple[str, str, DatasetSpec, Purpose, CloudSpec]]:
    for key, dataset in datasets.items():
        for purpose, cloud in dataset.datasources.items():
            yield f"{key}.{purpose.lower()}.{cloud.cloud}", key, dataset, purpose, cloud


def _identities(datasets: Datasets, before: Previous) -> Iterator[str]:
    """Identities and keys that the YAML calls the user's own, and that this run or a renewal would delete."""
    stays = {
        (kind, access_name(datasource_name(key, dataset, purpose), cloud.datasource))
        for _, key, dataset, purpose, cloud in _sources(datasets)
        for kind in _IDENTITIES
        if cloud.datasource.makes_identity(kind) and not (cloud.datasource.rotates and kind in _RENEWED)
    }
    made_here = [it for it in before.made if it.kind in _IDENTITIES]
    going = {(it.kind, it.name): it for it in made_here if (it.kind, it.resource.name) not in stays}
    for where, _, _, _, cloud in _sources(datasets):
        for named in cloud.datasource.named():
            made = going.get((named.kind, named.name))
            if made is not None:
                of = f"for dataset {made.dataset!r}" if made.dataset else f"as {made.resource.name!r}"
                yield (
                    f"{where}.{named.field}: {named.shown!r} was made by this stack {of}: named here, it would be "
                    f"deleted by this run or the renewal to come, and Lightly shut out. Remove '{named.field}' to go "
                    f"on with it, or name a {named.kind} that the stack has not made"
                )


def _existing(datasets: Datasets, before: Previous) -> Iterator[str]:
    """Storage that the YAML wants to have made, and that Lightly was told of without it being this stack's."""
    ours = {it.name for it in before.made if it.resource.type in _BY_HAND}
    told = [source for dataset in before.datasets.values() for source in dataset.datasources.values()]
    for where, _, _, _, cloud in _sources(datasets):
        it: DatasourceSpec = cloud.datasource
        if it.creates and it.storage is not None and it.storage not in ours and any(map(it.holds, told)):
            yield (
                f"{where}.create: {it.storage!r} exists: Lightly has been told to use it, and this stack has not made "
                "it, or has let go of it. Remove 'create': it is then used as it is, and nothing is changed on it"
            )


def is_granted(before: Previous | None, name: str, wanted: ObsSpec) -> bool:
    """Whether a bucket's policy lets the user of the datasource `name` in by what this stack has written there."""
    return before is not None and any(
        it.name == name
        and it.outputs.get("bucket") == wanted.bucket
        and cloud_of(str(it.outputs.get("endpoint"))) == cloud_of(wanted.endpoint)
        for it in before.of("pulumi-python:dynamic/obs:Grant")
    )


def _grants(datasets: Datasets, before: Previous) -> Iterator[str]:
    """What a policy on a bucket of OBS goes on to grant, once the bucket has left the stack, without saying to whom."""
    for where, key, dataset, purpose, cloud in _sources(datasets):
        wanted = cloud.datasource
        if isinstance(wanted, ObsSpec) and is_granted(before, datasource_name(key, dataset, purpose), wanted):
            for field in ("user", "region"):
                if getattr(wanted, field) is None:
                    yield (
                        f"{where}.{field} is missing: it was given when this stack made the bucket {wanted.bucket!r}, "
                        "whose policy lets Lightly in by what the stack has written there; put it back"
                    )


def _encrypted(datasets: Datasets, before: Previous) -> Iterator[str]:
    """Buckets that leave the stack, whose KMS key their other datasets have from the one that made them."""
    made = {it.name for it in before.made if it.resource.type == "aws:s3/bucket:Bucket"}
    created = {cloud.datasource.place for *_, cloud in _sources(datasets) if cloud.datasource.creates}
    for where, key, dataset, purpose, cloud in _sources(datasets):
        wanted, old = cloud.datasource, before.datasets.get(resource_name(key, dataset))
        if old is None or not isinstance(wanted, S3Spec) or wanted.kms_key_arn is not None:
            continue
        told = old.datasources.get(purpose, {})
        kms = told.get("s3_server_side_encryption_kms_key")
        if kms and wanted.bucket in made and wanted.place not in created and wanted.holds(told):
            yield (
                f"{where}.kms_key_arn is missing: {wanted.bucket!r} was made by this stack and is encrypted with "
                f"{kms!r}, whose use would be taken from Lightly: write 'kms_key_arn: {kms}'"
            )


def _renamed(datasets: Datasets, before: Previous) -> Iterator[str]:
    """Datasets whose `formerly` is missing or not what they were first deployed under, so that they would be new."""
    today = {resource_name(key, dataset): key for key, dataset in datasets.items()}
    for name, old in before.datasets.items():
        holder = today.get(name)
        if holder is not None and (holder == old.key or datasets[holder].formerly is not None):
            continue
        was = old.key or name
        key = was if was in datasets else _continued(was, datasets, old, leaves=holder is None)
        if key is None or key == holder:
            continue
        given = datasets[key].formerly
        wrong = f"{key}: 'formerly' is missing" if given is None else f"{key}.formerly: {given!r} is not the first key"
        remedy = "Remove 'formerly'" if paths.slug(key) == name else f"Write 'formerly: {name}' under {key!r}"
        if holder is not None:
            remedy = f"{remedy}, and give {holder!r} another key"
        yield (
            f"{wrong}: what was {was!r} in the last run was first deployed under {name!r}. As it stands, all of it "
            f"would be made anew, and what there is taken away. {remedy}, and all of it stays; if it is another "
            "dataset, give it a key that is new to the stack, and no 'formerly'"
        )


def _continued(was: str, datasets: Datasets, old: previous.Dataset, *, leaves: bool) -> str | None:
    """The key of the dataset that says it was another one, and means this one."""
    renamed = {key: paths.slug(it.formerly) for key, it in datasets.items() if it.formerly is not None}
    told = [key for key, formerly in renamed.items() if formerly == paths.slug(was)]
    alike = [key for key in renamed if leaves and _alike(key, datasets[key], old)]
    return next(iter(told + alike), None)


def _moved(datasets: Datasets, before: Previous) -> Iterator[str]:
    """Storage with a name that would have to be made a second time, elsewhere."""
    for where, _, _, _, cloud in _sources(datasets):
        for it in cloud.datasource.placed():
            made = next((made for made in before.made if (made.kind, made.name) == (it.kind, it.name)), None)
            was = made.resource.outputs.get(it.field) if made is not None else None
            if isinstance(was, str) and _place(was) != _place(it.value):
                yield (
                    f"{where}.{it.field}: {it.kind} {it.name!r} is in {was!r}, and the {it.field} of what is made "
                    f"cannot change. To keep it, set '{it.field}: {was.lower()}' again; to have another one made in "
                    f"{it.value!r}, choose another name, too: the old one is then kept, with all that is in it"
                )


def _place(location: str) -> str:
    return location.replace(" ", "").casefold()  # Azure may answer "West Europe", GCS answers EUROPE-WEST3


def _swapped(datasets: Datasets, before: Previous) -> Iterator[str]:
    """Datasets that get a name which another one of the stack still has, whatever it is called from then on."""
    names = {resource_name(key, it): it.name or (key if it.id is None else None) for key, it in datasets.items()}
    keys = {resource_name(key, it): key for key, it in datasets.items()}
    for resource, name in names.items():
        was = before.datasets.get(resource)
        if name is None or (was is not None and was.name == name):
            continue
        for other, old in before.datasets.items():
            if other != resource and old.name == name and names.get(other, name) != name:
                yield (
                    f"{keys[resource]}.name: {name!r} is the name of dataset {keys[other]!r} until this run has "
                    "renamed it, and names are unique at Lightly: rename one of them to a third name first, run "
                    "`pulumi up`, and then give it the name that it is to have"
                )


def _tell_of_replaced(found: Findings, datasets: Datasets, before: Previous) -> None:
    """What becomes of datasets in whose place their keys mean other ones."""
    for key, dataset in datasets.items():
        old = before.datasets.get(resource_name(key, dataset))
        successor = _successor(key, dataset, old) if old is not None else None
        if old is None or successor is None:
            continue
        was = f"the dataset {old.name!r}{f' (id {old.id})' if old.id else ''} is replaced by {successor}"
        if old.on_destroy == "delete" and not old.adopted:
            found.warnings.append(
                f"{key}: {was} and will be deleted at Lightly with its samples: it was deployed with "
                "'on_destroy: delete'. To keep it, deploy 'on_destroy: keep' first, and then this change"
            )
        else:
            found.remarks.append(f"{key}: {was} and stays at Lightly")


def _successor(key: str, dataset: DatasetSpec, old: previous.Dataset) -> str | None:
    """The other dataset that the YAML means now, in words; None where it is the same, as the provider decides."""
    if dataset.id is not None:
        return None if dataset.id == old.id else f"the one with id {dataset.id}"
    name, kind = dataset.name or key, str(dataset.type or "Images")
    return f"a new one, {name!r} of type {kind}" if name != old.name and kind != old.type else None


def _tell_of_leaving(found: Findings, datasets: Datasets, before: Previous) -> None:
    """What becomes of datasets that are no longer there under their key."""
    today = {resource_name(key, dataset): key for key, dataset in datasets.items()}
    came = [key for name, key in today.items() if name not in before.datasets]
    for name, old in before.datasets.items():
        if name in today:
            continue
        was, deleted = old.key or name, old.on_destroy == "delete" and not old.adopted
        key = next((key for key in came if _alike(key, datasets[key], old)), None)
        if key is not None:
            found.warnings.append(
                f"{key}: looks like {was!r} under another key. As it stands, this makes a dataset, identities and "
                f"storage anew, removes Lightly's access to what {was!r} had, and "
                f"{'deletes' if deleted else 'leaves'} the dataset {old.name!r} at Lightly. If it is the same dataset, "
                f"write 'formerly: {name}' under {key!r}, and all of it stays; or keep the key {was!r}, and write "
                f"'name: {datasets[key].name or key}' to rename it at Lightly"
            )
        elif deleted:
            found.warnings.append(
                f"{was}: leaves the stack, and the dataset {old.name!r} is deleted at Lightly: it was deployed with "
                "'on_destroy: delete'. To keep it, put it back with 'on_destroy: keep', run `pulumi up`, and then "
                "remove it"
            )
        else:
            again = f"'id: {old.id}'" if old.id else "'adopt: true'"
            found.remarks.append(
                f"{was}: leaves the stack, and the dataset {old.name!r} stays at Lightly: {again} uses it again"
            )


def _alike(key: str, dataset: DatasetSpec, old: previous.Dataset) -> bool:
    if dataset.id is not None:
        return dataset.id == old.id
    if (dataset.name or key) == old.name:
        return True
    told = [cloud.datasource.told.get("full_path") for cloud in dataset.datasources.values()]
    were = [source.get("full_path") for source in old.datasources.values()]
    return bool({it for it in told if it} & {it for it in were if it})

"""What Google Cloud says when something cannot be made, and what to do then.

The messages are Google's own, as people report them; `lightly_infra.component` says the remedy beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lightly_infra.component import TAKE_OVER

if TYPE_CHECKING:
    from collections.abc import Mapping

FAILURES: Final[Mapping[str, str]] = {
    # New organisations have this policy since May 2024 ("Secure by default" of Resource Manager's docs).
    r"disableServiceAccountKeyCreation|Key creation is not allowed on this service account": (
        "your organisation forbids service-account keys, and Lightly takes nothing else: have an Organization Policy "
        "Administrator turn off iam.disableServiceAccountKeyCreation (or iam.managed.disableServiceAccountKeyCreation) "
        "for this project, wait some minutes and run `pulumi up` again; or bring a key as access.credentials"
    ),
    r"can't create a role(_id| with role_id) \(": (
        "Google keeps the id of a deleted role for 37 days: replace the random suffix beside it "
        "(`pulumi up --replace URN`, with the URN of the RandomString under the same datasource), which gives the role "
        "another id"
    ),
    r"Error deleting the custom project role": (
        "where somebody has deleted the role already, run `gcloud iam roles undelete ROLE --project=PROJECT` and do "
        "this again; 7 days after it was deleted, run `pulumi state delete URN --force` instead"
    ),
    # An interrupted run has made it: the suffix of its id is in our state. The provider brings a deleted role back.
    r"Custom project role projects/(?P<project>[^/ ]+)/roles/(?P<role>\S+) already exists": (
        "an interrupted run has left the role behind: run `gcloud iam roles delete {role} --project={project}` and "
        "`pulumi up` again, which brings it back"
    ),
    r"you already own it|You already own this bucket": (
        "you have this bucket already. If its location has changed, put the old one back, or choose another name to "
        "have another one made. If it is yours, leave 'create' out to use it as it is, or choose another name. If an "
        "interrupted run of this stack made it (its label lightly-infra-stack names the stack), take it over: run "
        f"{TAKE_OVER} and `pulumi up` again"
    ),
    r"bucket name is not available": (
        "somebody has a bucket of this name, which is one for all of Google Cloud: name another, or none to have one "
        "generated"
    ),
    r"bucket you tried to create (is a domain name|requires domain ownership)": (
        "a bucket's name with dots is a domain, which has to be verified as yours: use hyphens instead of dots"
    ),
    r"constraints/gcp\.resourceLocations": (
        "your organisation allows other locations only: set 'location' to one of them"
    ),
    r"Maximum number of service accounts on project reached": (
        "the project has as many service accounts as it may (100, unless raised): let datasets share one "
        "(access.share), remove some, or have the quota raised"
    ),
    r"Maximum number of keys on account reached|service account key: .*Precondition check failed": (
        "a service account has at most 10 keys: delete those that nobody uses (`gcloud iam service-accounts keys list`)"
    ),
    r"API has not been used in project|accessNotConfigured|SERVICE_DISABLED": (
        "an API of the project is off: run `gcloud services enable iam.googleapis.com storage.googleapis.com` (with a "
        "KMS key also cloudkms.googleapis.com), wait some minutes and run `pulumi up` again"
    ),
    r"Permission denied on Cloud KMS key": (
        "GCS may not use the key yet; the grant was just made and takes some minutes: run `pulumi up` again"
    ),
    r"Service account \S+ does not exist|Unknown service account": (
        "Google takes up to a minute to know a new service account: run `pulumi up` again; one of your own: look for a "
        "slip in its e-mail"
    ),
    r"[Cc]ondition.*uniform bucket-level access|uniform bucket-level access.*[Cc]ondition": (
        "a prefix needs uniform bucket-level access: turn it on for your bucket (`gcloud storage buckets update "
        "gs://BUCKET --uniform-bucket-level-access`), or give Lightly the whole bucket with an empty prefix"
    ),
    r"billing account for the owning project is disabled|BILLING_DISABLED": (
        "the project has no active billing account: link one"
    ),
    r"could not find default credentials|failed to load application credentials|invalid_grant": (
        "Google Cloud does not know you: run `gcloud auth application-default login`, or set GOOGLE_CREDENTIALS"
    ),
    r"Permission '?(iam|storage|cloudkms)\.\S+ (denied|is required)|does not have (storage|iam)\.\S+ access": (
        "who deploys lacks the permission that the message names; enough on the project: roles/storage.admin, "
        "roles/iam.roleAdmin, roles/iam.serviceAccountAdmin and roles/iam.serviceAccountKeyAdmin (with a KMS key also "
        "roles/cloudkms.admin on the key)"
    ),
}
"""A regular expression on the provider's words, and the remedy; the first that is found counts."""

"""What Google Cloud says in the words that people meet, and the remedy that is told then."""

from __future__ import annotations

import pytest

from lightly_infra.clouds import gcp
from lightly_infra.clouds.gcp.failures import FAILURES
from lightly_infra.component import Component, remedy_for

ROLE = "projects/acme-vision/roles/lightly_input_0a1b2c3d"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            (
                "Error creating service account key: googleapi: Error 400: Key creation is not allowed on this service "
                "account.\nDetails: [{'violations': [{'type': 'constraints/iam.disableServiceAccountKeyCreation'}]}], "
                "failedPrecondition"
            ),
            "your organisation forbids service-account keys",
        ),
        (
            (
                "googleapi: Error 400: Operation denied by org policy: [constraints/iam.managed."
                "disableServiceAccountKeyCreation]"
            ),
            "your organisation forbids service-account keys",
        ),
        (
            (
                f"Error creating the custom project role {ROLE}: googleapi: Error 400: You can't create a role_id "
                "(lightly_input_0a1b2c3d) which has been marked for deletion., failedPrecondition"
            ),
            "Google keeps the id of a deleted role for 37 days",
        ),
        (
            (
                "You can't create a role with role_id (lightly_input_0a1b2c3d) where there is an existing role with "
                "that role_id in a deleted state."
            ),
            "Google keeps the id of a deleted role for 37 days",
        ),
        (
            "googleapi: Error 409: Your previous request to create the named bucket succeeded and you already own it.",
            "you have this bucket already",
        ),
        (
            (
                "googleapi: Error 409: The requested bucket name is not available. The bucket namespace is shared by "
                "all users of the system. Please select a different name and try again., conflict"
            ),
            "somebody has a bucket of this name",
        ),
        (
            "googleapi: Error 403: The bucket you tried to create is a domain name owned by another user., forbidden",
            "use hyphens instead of dots",
        ),
        (
            "googleapi: Error 412: 'us' violates constraint 'constraints/gcp.resourceLocations', conditionNotMet",
            "set 'location' to one of them",
        ),
        (
            (
                "Error creating service account: googleapi: Error 429: Maximum number of service accounts on project "
                "reached., rateLimitExceeded"
            ),
            "let datasets share one (access.share)",
        ),
        ("googleapi: Error 429: Maximum number of keys on account reached.", "at most 10 keys"),
        (
            "Error creating service account key: googleapi: Error 400: Precondition check failed., failedPrecondition",
            "at most 10 keys",
        ),
        (
            (
                "Error creating service account: googleapi: Error 403: Identity and Access Management (IAM) API has "
                "not been used in project 123456789012 before or it is disabled. Enable it by visiting https://…, "
                "accessNotConfigured"
            ),
            "gcloud services enable iam.googleapis.com storage.googleapis.com",
        ),
        (
            (
                "googleapi: Error 403: Permission denied on Cloud KMS key. Please ensure that your Cloud Storage "
                "service account has been authorized to use this key., forbidden"
            ),
            "takes some minutes: run `pulumi up` again",
        ),
        (
            (
                'Error applying IAM policy for storage bucket "b/acme-raw": Error setting IAM policy for storage '
                'bucket "b/acme-raw": googleapi: Error 400: Service account lightly@acme.iam.gserviceaccount.com '
                "does not exist., invalid"
            ),
            "up to a minute to know a new service account",
        ),
        (
            "googleapi: Error 412: To set a policy with a condition on a bucket, enable uniform bucket-level access.",
            "--uniform-bucket-level-access",
        ),
        (
            (
                "googleapi: Error 403: The billing account for the owning project is disabled in state absent, "
                "accountDisabled"
            ),
            "no active billing account",
        ),
        ("google: could not find default credentials.", "gcloud auth application-default login"),
        (
            (
                "googleapi: Error 403: ada@example.com does not have storage.buckets.create access to the Google Cloud "
                "project. Permission 'storage.buckets.create' denied on resource (or it may not exist)., forbidden"
            ),
            "who deploys lacks the permission",
        ),
        (
            (
                "googleapi: Error 403: Permission 'iam.serviceAccountKeys.create' denied on resource (or it may not "
                "exist)., forbidden"
            ),
            "roles/iam.serviceAccountKeyAdmin",
        ),
        (
            (
                "Error creating service account: googleapi: Error 403: Permission iam.serviceAccounts.create is "
                "required to perform this operation on project projects/acme-vision., forbidden"
            ),
            "roles/iam.serviceAccountAdmin",
        ),
        (
            (
                f"Error applying IAM policy for KMS CryptoKey: googleapi: Error 403: Permission "
                f"'cloudkms.cryptoKeys.setIamPolicy' denied on resource '{ROLE}' (or it may not exist)., forbidden"
            ),
            "roles/cloudkms.admin on the key",
        ),
    ],
)
def test_a_failure_that_people_meet_is_told_with_its_remedy(message: str, said: str) -> None:
    assert said in (remedy_for(message, FAILURES) or "nothing")


def test_another_failure_is_told_without_a_remedy() -> None:
    assert remedy_for("googleapi: Error 503: Backend Error, backendError", FAILURES) is None


@pytest.mark.parametrize("component", [gcp.Bucket, gcp.ServiceAccount, gcp.BroughtCredentials, gcp.GCSDatasource])
def test_every_component_knows_them(component: type[Component]) -> None:
    assert component.failures is FAILURES

"""SAS tokens on Azure: a directory's as Azure's own library signs it, and which ones of the user's own are refused."""

from __future__ import annotations

import base64
import string
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qsl, urlencode

import pytest
from azure.storage.blob import _shared_access_signature as azures
from azure.storage.blob import generate_blob_sas, generate_container_sas
from hypothesis import given
from hypothesis import strategies as st

from lightly_infra import epochs
from lightly_infra.clouds.azure import policy, sas
from lightly_infra.permissions import Purpose

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CANARY = "canary0signature"
ACCOUNT_KEY = "Y2FuYXJ5" * 10 + "Y2FuYXJ5Y2E="
INPUT, LIGHTLY = Purpose.INPUT, Purpose.LIGHTLY


def own(**changes: str | None) -> str:
    """A good SAS for an Input, changed; None takes a field away."""
    said: dict[str, str | None] = {
        "sv": "2024-11-04",
        "sr": "c",
        "se": "2027-01-01T00:00:00Z",
        "sp": "rl",
        "spr": "https",
        "sig": CANARY,
    }
    return urlencode({name: value for name, value in (said | changes).items() if value is not None})


def check(token: str, purpose: Purpose = INPUT, directory: str = "") -> sas.Sas:
    return sas.check(token, purpose=purpose, now=NOW, directory=directory)


def refused(token: str, purpose: Purpose = INPUT, directory: str = "") -> str:
    with pytest.raises(ValueError, match=r"it|this") as caught:
        check(token, purpose, directory)
    assert caught.value.__context__ is None, "it could hold what the message leaves out"
    return str(caught.value)


# -- a directory's


@given(
    st.lists(st.text("abc %#+&=ü'\"", min_size=1, max_size=9), min_size=1, max_size=9).map("/".join),
    st.sampled_from(Purpose),
    st.binary(min_size=64, max_size=64).map(lambda it: base64.b64encode(it).decode()),
)
def test_a_directorys_sas_is_byte_for_byte_the_one_that_azures_own_library_signs(
    directory: str, purpose: Purpose, key: str
) -> None:
    start, expires = datetime(2026, 9, 4, tzinfo=UTC), datetime(2027, 3, 3, tzinfo=UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(azures, "X_MS_VERSION", "2020-12-06")  # the library has no argument for it
        # As azure-storage-file-datalake's generate_directory_sas calls it.
        theirs = generate_blob_sas(
            account_name="acmedata",
            container_name="raw",
            blob_name=directory,
            account_key=key,
            permission=policy.permissions(purpose),
            start=start,
            expiry=expires,
            protocol="https",
            sdd=directory.count("/") + 1,
            is_directory=True,
        )
    ours = sas.for_directory(
        account="acmedata",
        container="raw",
        directory=f"{directory}/",
        key=key,
        permissions=policy.permissions(purpose),
        start=start,
        expires=expires,
    )
    assert ours == f"?{theirs}"


def test_a_directorys_sas_says_what_it_opens_and_is_one_that_is_taken() -> None:
    token = sas.for_directory(
        account="acmedata",
        container="raw",
        directory="a/b/",
        key=ACCOUNT_KEY,
        permissions="rl",
        start=NOW,
        expires=NOW + timedelta(days=9),
    )
    said = dict(parse_qsl(token.removeprefix("?")))
    assert (said["sr"], said["sdd"], said["spr"], said["sp"]) == ("d", "2", "https", "rl")
    assert (said["st"], said["se"]) == ("2026-11-22T12:00:00Z", "2026-12-01T12:00:00Z")
    assert check(token, directory="a/b/") == sas.Sas(token, NOW + timedelta(days=9))


# -- a SAS of the user's own


@pytest.mark.parametrize("start", ["", "?", " ?", "\n"])
def test_a_sas_is_taken_with_or_without_its_question_mark(start: str) -> None:
    read = check(f"{start}{own()}\n")
    assert read.token == f"?{own()}"
    assert read.expires == datetime(2027, 1, 1, tzinfo=UTC)


def test_what_azures_own_library_signs_is_taken() -> None:
    token = generate_container_sas(
        "acmedata", "raw", ACCOUNT_KEY, permission="rcwdl", expiry=NOW + timedelta(days=9), protocol="https"
    )
    assert check(token, LIGHTLY).expires == NOW + timedelta(days=9)


def test_a_sas_does_not_show_in_its_repr() -> None:
    assert CANARY not in repr(check(own()))


@pytest.mark.parametrize("expiry", ["2027-01-01", "2027-01-01T00:00Z", "2027-01-01T01:00:00+01:00"])
def test_every_way_to_write_the_expiry_that_azure_knows_is_read(expiry: str) -> None:
    assert check(own(se=expiry)).expires == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"se": "2026-11-22T12:00:00Z"}, "it expired on 2026-11-22T12:00:00Z; sign another"),
        ({"se": None}, "its expiry (se) is missing"),
        ({"se": "canary"}, "its expiry (se) is no date"),
        ({"se": "0001-01-01T00:00:00+23:59"}, "its expiry (se) is no date"),
        ({"st": "2026-11-23"}, "it is not valid before 2026-11-23T00:00:00Z"),
        ({"sp": "l"}, "it permits too little for INPUT: r (read) missing; sign one with exactly 'rl' (sp)"),
        ({"sp": None}, "it permits too little for INPUT: r (read), l (list) missing"),
        ({"sp": "racwdl"}, "it permits more than INPUT needs: a (add), c (write), w (overwrite), d (delete); sign one"),
        ({"sp": "rlCANARY"}, "it permits more than INPUT needs: unknown letters; sign one"),
        ({"sp": "lr"}, "its permissions are not in the order that Azure demands; sign one with 'rl' (sp)"),
        ({"sp": "rrl"}, "its permissions are not in the order that Azure demands"),
        ({"spr": None}, "it may be used without TLS; sign one for https only (spr=https)"),
        ({"spr": "https,http"}, "it may be used without TLS"),
        ({"ss": "b", "srt": "co", "sr": None}, "this is an account SAS, which opens every container"),
        ({"si": "canary-policy"}, "from a stored access policy (si)"),
        ({"sip": "203.0.113.7"}, "it is for certain addresses only (sip)"),
        ({"sr": "b"}, "it opens neither a container (sr=c) nor a directory (sr=d)"),
        ({"sr": None}, "it opens neither a container (sr=c) nor a directory (sr=d)"),
        ({"sr": "d", "sdd": "1"}, "it opens one directory (sr=d): write 'directory_sas: true' beside it"),
        ({"sig": None}, "its signature (sig) is missing; copy all of the SAS, and quote it in the shell"),
        ({"sig": ""}, "its signature (sig) is missing"),
    ],
)
def test_a_sas_that_cannot_be_used_is_refused_in_plain_words(changes: dict[str, str | None], words: str) -> None:
    told = refused(own(**changes))
    assert words in told
    assert "canary" not in told.lower()


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (ACCOUNT_KEY, "this looks like an account key, which opens everything in the account"),
        (
            f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={ACCOUNT_KEY};EndpointSuffix=core.windows.net",
            "this is a connection string",
        ),
        (
            "BlobEndpoint=https://a.blob.core.windows.net;SharedAccessSignature=sig=canary",
            "this is a connection string",
        ),
        (f"https://acmedata.blob.core.windows.net/raw?{own()}", "this is a URL; give what follows its question mark"),
        ("canary", "this is no SAS"),
        ("", "this is no SAS"),
        (f"{own()}&sp=rl&se=2000-01-01", "it says se, sp twice"),
        (f"'{own()}'", "it holds quotes around it"),
        (f"{own()}\0ü", "control characters"),
    ],
)
def test_what_is_no_sas_is_refused_in_plain_words(token: str, words: str) -> None:
    told = refused(token)
    assert words in told
    assert "canary" not in told.lower()
    assert ACCOUNT_KEY[:10] not in told


def test_lightly_needs_more_than_input() -> None:
    assert "c (write), w (overwrite), d (delete) missing" in refused(own(), LIGHTLY)
    assert check(own(sp="rcwdl"), LIGHTLY).token == f"?{own(sp='rcwdl')}"


def test_a_directorys_sas_must_lie_as_deep_as_the_prefix() -> None:
    token = own(sr="d", sdd="2")
    assert check(token, directory="a/b/").token == f"?{token}"
    assert "its directory lies 2 deep, and the prefix 'a/' lies 1 deep" in refused(token, directory="a/")
    assert "at no depth it tells (sdd)" in refused(own(sr="d"), directory="a/")
    assert "it opens the whole container (sr=c)" in refused(own(), directory="a/")
    assert "neither a container" in refused(own(sr="b"), directory="a/")


@given(
    st.dictionaries(
        st.sampled_from(["sv", "sr", "se", "st", "sp", "spr", "sig", "sip", "si", "ss", "sdd"]),
        st.text(string.ascii_letters + string.digits + ":-/+=%", max_size=30).map(lambda it: f"QZX{it}"),
    ),
    st.sampled_from(Purpose),
)
def test_no_refusal_repeats_any_of_the_token(fields: dict[str, str], purpose: Purpose) -> None:
    told = refused(urlencode(fields), purpose)
    assert "QZX" not in told
    assert "\n" not in told


@given(st.text())
def test_anything_at_all_is_refused_with_a_value_error(text: str) -> None:
    refused(text)


@given(st.sets(st.sampled_from("racwdxyltfmeopi")), st.sampled_from(Purpose))
def test_only_what_the_purpose_needs_is_taken(letters: set[str], purpose: Purpose) -> None:
    given_ = "".join(sorted(letters, key="racwdxyltfmeopi".index))
    if given_ == policy.permissions(purpose):
        check(own(sp=given_), purpose)
    else:
        assert "it permits" in refused(own(sp=given_), purpose)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - Hypothesis wants them so
def test_a_sas_is_taken_until_the_second_it_expires(moment: datetime) -> None:
    expires = moment.replace(tzinfo=UTC, microsecond=0)
    token = own(se=epochs.text(expires))
    if expires > NOW:
        assert check(token).expires == expires
    else:
        assert "expired" in refused(token)


def test_dates_of_the_far_past_do_not_confuse() -> None:
    assert "expired" in refused(own(se=date(1, 1, 1).isoformat()))

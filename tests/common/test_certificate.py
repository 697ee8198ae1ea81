"""When a certificate ends is read from its file, whoever made it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import trustme

from hpcsched.common.certificate import certificate_end


def pem(end: datetime) -> str:
    issued = trustme.CA().issue_cert("head", not_after=end)
    return issued.cert_chain_pems[0].bytes().decode()


@pytest.mark.parametrize("year", [2031, 2049, 2050, 2062])
def test_the_end_is_what_the_certificate_says(year: int) -> None:
    end = datetime(year, 3, 4, 5, 6, 7, tzinfo=UTC)

    assert certificate_end("a comment\n" + pem(end)) == end.timestamp()


def test_what_is_no_certificate_is_an_error_and_no_crash() -> None:
    whole = pem(datetime(2031, 1, 1, tzinfo=UTC))
    head, body, tail = whole.partition("CERTIFICATE-----")
    for text in (
        "",
        "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----",
        head + body + tail[:200] + "\n-----END CERTIFICATE-----",
    ):
        with pytest.raises(ValueError, match="certificate"):
            certificate_end(text)

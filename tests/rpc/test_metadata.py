"""What goes along with a call."""

from __future__ import annotations

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.rpc.metadata import bearer_token, call_metadata, call_name

SECRET = "tell-nobody"  # noqa: S105
BLANK = " \n"


def test_a_token_comes_back_without_the_white_space_of_its_file() -> None:
    assert bearer_token(call_metadata(token=f" {SECRET}\n")) == SECRET


def test_what_is_empty_is_left_out() -> None:
    assert call_metadata() == ()
    assert call_metadata(token=BLANK, term=0) == ()


def test_the_rest_goes_along() -> None:
    pairs = dict(call_metadata(token=SECRET, client="hpc/1", request_id="r", term=3))

    assert pairs == {
        "authorization": f"Bearer {SECRET}",
        "x-hpcsched-client": "hpc/1",
        "x-request-id": "r",
        "x-hpcsched-term": "3",
    }


@pytest.mark.parametrize("token", ["two\nlines", "a\tb", "schlüssel", "nul\0"])
def test_a_token_that_no_header_can_hold_is_refused_without_showing_it(
    token: str,
) -> None:
    with pytest.raises(HpcError) as caught:
        call_metadata(token=token)

    assert caught.value.reason == "UNAUTHENTICATED"
    assert token not in str(caught.value)


@pytest.mark.parametrize("name", ["x" * 65, "zwölf", "a\nb"])
def test_a_name_that_is_not_fit_for_a_log_is_ignored(name: str) -> None:
    assert call_name((("x-request-id", name),)) == ""


def test_binary_metadata_is_no_token() -> None:
    assert bearer_token((("authorization", b"Bearer x"),)) == ""

"""``--split``: every form, its bounds, and one line for everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcp_tvm.errors import InputError
from lcp_tvm.split_text import (
    FORMS,
    Auto,
    Ftp,
    Layers,
    Lcp,
    Pipeline,
    SplitSpec,
    Strips,
    Whole,
    parse_split,
)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("none", Whole()),
        ("replicate:4", Whole(4)),
        ("lcp:8", Lcp(8)),
        ("lcp:8+40%", Lcp(8, 40.0)),
        ("lcp:2+12.5%", Lcp(2, 12.5)),
        ("ftp:3x5", Ftp(3, 5)),
        ("ftp:3x5@16", Ftp(3, 5, 16)),
        ("ftp:3x5:reuse", Ftp(3, 5, None, True)),
        ("ftp:3x5@16:reuse", Ftp(3, 5, 16, True)),
        ("layers:2", Layers(2, "output")),
        ("layers:2:output", Layers(2, "output")),
        ("layers:2:input", Layers(2, "input")),
        ("layers:2:spatial", Layers(2, "spatial")),
        ("strips:4", Strips(4)),
        ("strips:4@12", Strips(4, 12)),
        ("pipeline:3", Pipeline(3)),
        ("auto", Auto()),
        (" none ", Whole()),
    ],
)
def test_every_form(text: str, spec: SplitSpec) -> None:
    assert parse_split(text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lcp:0", r"0 is not from 1 to 256"),
        ("lcp:257", r"257 is not from 1 to 256"),
        ("lcp:2+1001%", r"at most 1000 % can be added"),
        ("ftp:33x1", r"33 is not from 1 to 32"),
        ("ftp:1x0", r"0 is not from 1 to 32"),
        ("ftp:1x1@0", r"0 is not from 1 to 10000"),
        ("strips:1@10001", r"10001 is not from 1 to 10000"),
        ("layers:" + "9" * 5000, r"is not from 1 to 256"),
    ],
)
def test_numbers_are_bounded(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_split(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("lpc:2", r"did you mean lcp:N\[\+F%\]\?"),
        ("ftp:3", r"did you mean ftp:RxC\[@L\]\[:reuse\]\?"),
        ("layers:2:both", r"did you mean layers:N"),
        ("lcp:2+40", r"did you mean lcp:N"),
        ("lcp:²", r"did you mean lcp:N"),
        ("none:1", r"did you mean none\?"),
        ("", r"no such split"),
        ("xyz", r"no such split"),
    ],
)
def test_what_is_no_split_shows_all_forms(text: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint) as told:
        parse_split(text)
    assert all(form in str(told.value) for form in FORMS)


@given(st.one_of(st.text(), st.from_regex(r"[a-z]{3,9}:\d*[x+@:]?\d*[%:@]?[a-z\d]*")))
def test_any_text_reads_or_is_told_in_one_line(text: str) -> None:
    try:
        parse_split(text)
    except InputError as error:
        assert len(str(error)) < 400  # noqa: PT017 (either way is right)
        assert len(str(error).splitlines()) == 1  # noqa: PT017

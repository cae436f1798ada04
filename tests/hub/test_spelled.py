from __future__ import annotations

import pytest

from sidecar.hub.spelled import as_configured


@pytest.mark.parametrize(
    ("path", "spelled"),
    [
        ("~/model", "/home/me/model"),
        ("~", "/home/me"),
        ("model", "/home/me/model"),
        ("/scratch//me/model/", "/scratch/me/model"),
        ("~bob/model", ""),
        ("$SCRATCH/model", ""),
        ("~/link/../model", ""),
    ],
)
def test_the_configured_name_is_made_absolute_where_text_can(path: str, spelled: str) -> None:
    assert as_configured(path, "/home/me") == spelled
    assert as_configured(path, "") == ""

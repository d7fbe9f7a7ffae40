from __future__ import annotations

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from agentbus.hub.core.control_bodies import Answer
from agentbus.hub.server.rest.paths import OPERATIONS, Found, Missed, decode_segment, find


@given(st.text(min_size=1))
def test_whatever_a_name_holds_its_encoding_is_one_segment_and_reads_back(name: str) -> None:
    found = find("GET", f"/v1/channels/{quote(name, safe='')}/peers".encode())
    assert isinstance(found, Found)
    assert decode_segment(found.segment) == name


@given(st.sampled_from(("GET", "POST", "DELETE", "OPTIONS", "X")), st.binary(max_size=40))
def test_no_path_is_too_odd_to_be_missed(method: str, path: bytes) -> None:
    assert isinstance(find(method, path), Found | Missed)
    assert isinstance(decode_segment(path), str | Answer)


def test_every_operation_is_found_by_its_own_template_alone() -> None:
    for operation in OPERATIONS:
        path = operation.template.replace(f"{{{operation.target}}}", "x").encode()
        assert [found for found in OPERATIONS if find(found.method, path) == find(operation.method, path)]
        found = find(operation.method, path)
        assert isinstance(found, Found)
        assert found.operation is operation

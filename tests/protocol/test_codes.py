from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import pytest

from agentbus.protocol import CloseCode, ErrorCode, Retry

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "protocol.md").read_text()
NO_RETRY = {4001, 4003, 4012, 4020}
KNOWN = {1000, 1001, 1006, 1008, 1009, 1011, 1012, 1013, 1014, 4000, 4001, 4002, 4003, 4010, 4011, 4012, 4020}


def test_the_table_is_the_table_of_the_protocol() -> None:
    assert {int(code) for code in CloseCode} == KNOWN
    assert {int(code) for code in CloseCode if code.retry is Retry.NO} == NO_RETRY
    assert {int(code) for code in CloseCode if code.retry is Retry.FLOOR} == {4010}


def test_rules_say_what_they_mean() -> None:
    assert [rule.allowed for rule in (Retry.NO, Retry.FLOOR, Retry.BACKOFF)] == [False, True, True]
    assert [rule.floor for rule in (Retry.NO, Retry.FLOOR, Retry.BACKOFF)] == [0.0, 30.0, 0.0]


@pytest.mark.parametrize("number", [4999, 0, 1005, 3000, -1, 2**70])
def test_unknown_close_codes_pass_through_and_back_off(number: int) -> None:
    code = CloseCode.of(number)
    assert code == number
    assert isinstance(code, CloseCode)
    assert code.retry is Retry.BACKOFF
    assert code.explanation
    assert str(code) == str(number)
    assert hash(code) == hash(number)
    assert str(number) in repr(code)


def test_known_close_codes_are_the_members() -> None:
    assert CloseCode.of(4010) is CloseCode.OVER_CONCURRENT_LIMIT
    assert CloseCode(CloseCode.of(4010)) is CloseCode.OVER_CONCURRENT_LIMIT
    assert f"{CloseCode.ADMIN_DISCONNECT}" == "4020"


def test_an_unknown_code_does_not_join_the_table() -> None:
    CloseCode.of(4998)
    ErrorCode.of("never_heard")
    assert 4998 not in {int(code) for code in CloseCode}
    assert "never_heard" not in {str(code) for code in ErrorCode}


@pytest.mark.parametrize("code", [CloseCode.INVALID_TOKEN, CloseCode.of(4999)])
def test_close_codes_survive_a_pickle_and_a_copy(code: CloseCode) -> None:
    for twin in (pickle.loads(pickle.dumps(code)), copy.deepcopy(code)):
        assert twin == code
        assert twin.retry is code.retry
        assert twin.explanation == code.explanation


def test_what_is_no_number_is_no_close_code() -> None:
    with pytest.raises(ValueError, match="4001"):
        CloseCode("4001")


def test_every_code_is_explained_in_words_of_its_own() -> None:
    explanations = [code.explanation for code in CloseCode]
    assert len(set(explanations)) == len(explanations)
    assert all(len(text) > 10 for text in explanations)


def test_error_codes_are_those_of_the_protocol() -> None:
    assert {str(code) for code in ErrorCode} == {
        "malformed_message",
        "unknown_type",
        "invalid_channel",
        "invalid_peer_id",
        "channel_not_authorized",
        "channel_reserved",
        "channel_limit_exceeded",
        "peer_not_found",
        "mailbox_full",
        "missing_data",
        "action_not_permitted",
        "over_message_quota",
        "backend_error",
        "internal_error",
    }


def test_unknown_error_codes_pass_through_verbatim() -> None:
    code = ErrorCode.of("out_of_tea")
    assert code == "out_of_tea"
    assert isinstance(code, ErrorCode)
    assert f"{code}" == "out_of_tea"
    assert pickle.loads(pickle.dumps(code)) == code
    assert ErrorCode.of("missing_data") is ErrorCode.MISSING_DATA


def test_what_is_no_string_is_no_error_code() -> None:
    with pytest.raises(ValueError, match="7"):
        ErrorCode(7)


def test_the_protocol_page_tells_the_same_rules() -> None:
    section = PAGE.split("## Close codes")[1].split("## Patterns")[0]
    rows = re.findall(r"^\| ([\d, ]+) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    told = {int(code): rule for codes, _names, rule in rows for code in codes.split(",")}
    assert set(told) == KNOWN
    assert {code for code, rule in told.items() if "not retry" in rule} == NO_RETRY
    assert {code for code, rule in told.items() if "30 s" in rule} == {4010}
    assert [code.name for code in CloseCode if f"`{code.name}`" not in section] == []
    assert [code for code in ErrorCode if f"`{code}`" not in PAGE] == []

"""What may be meant by an address and by a key of Consul. What it answers is for tests/process and tests/lab."""

from __future__ import annotations

import pytest

from hola.consul import MOST_BYTES, ConsulError, ConsulKey

GOOD = "http://127.0.0.1:8500"


@pytest.mark.parametrize("address", ["localhost:8500", "http://[::1]:8500", "https://consul.example/behind/a/path/"])
def test_an_address_is_a_url_or_what_consuls_own_tools_take(address: str) -> None:
    ConsulKey(address, "hola/config.json", None)


@pytest.mark.parametrize(
    "address",
    ["", "ftp://x", "unix:///run/consul", "http://", "http://a:b@x", "http://x:y", "http://x:0", "http://x?a", "x#a"],
)
def test_any_other_address_is_refused_without_being_repeated(address: str) -> None:
    with pytest.raises(ValueError, match="must be like") as refused:
        ConsulKey(address, "hola/config.json", None)
    assert "a:b" not in str(refused.value)


@pytest.mark.parametrize("key", ["", "/", "/hola", "hola/", "a//b", "a/../../agent/leave", "a/./b", "a\nb", "k" * 513])
def test_a_key_that_could_become_another_path_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="the key must be like"):
        ConsulKey(GOOD, key, None)


def test_a_value_that_consul_would_refuse_is_not_sent() -> None:
    with pytest.raises(ConsulError, match="524289 bytes, Consul takes at most 524288") as refused:
        ConsulKey(GOOD, "hola/config.json", None).write(b" " * (MOST_BYTES + 1), 0)
    assert refused.value.written is False

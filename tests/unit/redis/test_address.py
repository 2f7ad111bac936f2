"""The URL of a Redis store: what it may say, what is refused, and that its secrets stay hidden."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharedstate.errors import BadSettings
from sharedstate_adapters.redis.address import Address, read_address


def test_a_plain_url_has_sensible_defaults() -> None:
    address = read_address("redis://")
    assert (address.hosts, address.db, address.prefix) == ((("127.0.0.1", 6379),), 0, "sharedstate")
    assert (address.tls, address.username, address.password, address.replicas) == (False, "", "", 0)


def test_everything_can_be_said() -> None:
    url = "rediss://fleet:p%40ss%2Fword@db.example:6380/3?prefix=repo&replicas=2&ca=/c.pem&cert=/d.pem&key=/k.pem"
    address = read_address(url)
    assert address.hosts == (("db.example", 6380),)
    assert (address.username, address.password, address.db) == ("fleet", "p@ss/word", 3)
    assert (address.tls, address.ca, address.cert, address.key) == (True, "/c.pem", "/d.pem", "/k.pem")
    assert (address.prefix, address.replicas) == ("repo", 2)


def test_sentinels_name_a_service() -> None:
    url = "redis+sentinel://u:p@a:1,b,[::1]:3/fleet/2?sentinel_user=s&sentinel_password=t&tls=true"
    address = read_address(url)
    assert address.hosts == (("a", 1), ("b", 26379), ("::1", 3))
    assert (address.service, address.db, address.tls) == ("fleet", 2, True)
    assert (address.sentinel_username, address.sentinel_password) == ("s", "t")


@pytest.mark.parametrize(
    "url",
    [
        *("http://x", "redis:/x", "redis://h/x", "redis://h/1/2", "redis://h:port", "redis://h:0", "redis://h:99999"),
        *("redis://a,b/0", "redis://h/0?prefix=", "redis://h/0?prefix=a:b", "redis://h/0?prefix=a{b}", "redis://h/-1"),
        *("redis://h/0?what=1", "redis://h/0?replicas=x", "redis://h/0?replicas=101", "redis://h/0?tls=maybe"),
        *(
            "redis+sentinel://h",
            "redis+sentinel://h/",
            "redis+sentinel://h/a/b/c",
            "redis://h/0?password_file=/no/file",
        ),
        *("redis://u:p@h/0?password_file=/no/file", "redis://h/0?prefix"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(BadSettings, match="redis://HOST:6379/0"):
        read_address(url)


def test_no_secret_is_shown() -> None:
    secret = "s3cr3t-of-mine"
    told: list[str] = []
    for url in (f"redis://u:{secret}@h/0", f"redis+sentinel://u:{secret}@h/s?sentinel_password={secret}"):
        address: Address = read_address(url)
        assert secret in (address.password, address.sentinel_password)
        told += [repr(address), str(address), address.shown]
    for url in (
        f"redis://u:{secret}@h/x",
        f"redis+sentinel://h/?sentinel_password={secret}",
        f"redis:x://u:{secret}@h",
    ):
        with pytest.raises(BadSettings) as caught:
            read_address(url)
        told += [str(caught.value), str(caught.value.hint), repr(caught.value)]
    assert not [text for text in told if secret in text]


def test_a_password_file_gives_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("one\ntwo\n")
    assert read_address(f"redis://u@h/0?password_file={tmp_path}/p").password == "one"


@pytest.mark.parametrize(
    "url",
    [
        *(
            "redis://u:pa?SECRET@h/0",
            "redis://u:pa?SECRET=x@h/0",
            "redis://u:pa?x&SECRET@h/0",
            "redis://u:pa/SECRET@h/0",
        ),
        *("redis://u:SECRET x@h/0", "redis://u:x SECRET@h/0", "redis+sentinel://u:1/SECRET@h", "redis://u:SECRET\t@h"),
    ],
)
def test_a_password_that_is_not_encoded_is_refused_and_no_part_of_it_told(url: str) -> None:
    with pytest.raises(BadSettings, match="write @ / ") as caught:
        read_address(url.replace("SECRET", "s3cr3t-of-mine"))
    assert "s3cr3t" not in f"{caught.value!r} {caught.value.hint}"

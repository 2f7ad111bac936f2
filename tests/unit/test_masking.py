"""What says of itself that it is secret is masked; what is none is left alone."""

from __future__ import annotations

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedstate.masking import MASK, masked

LONG = "aB3" * 14
SECRETS = {
    "classic token": f"ghp_{LONG}",
    "oauth token": f"gho_{LONG}",
    "server token": f"ghs_{LONG}",
    "fine-grained token": f"github_pat_{LONG}_{LONG}",
    "token that was cut off": "ghp_aB3aB3",
    "model key": f"sk-{LONG}",
    "model key with a project": f"sk-proj-{LONG}-x_y",
    "payment key": "sk_live_aB3aB3aB3aB3",
    "cloud key": "AKIAIOSFODNN7EXAMPLE",
    "maps key": "AIza" + "aB3_-" * 7,
    "model hub": "hf_aB3aB3aB3aB3aB3aB3aB3",
    "signed-in user": "ya29.aB3_-aB3aB3aB3aB3aB3aB3",
    "other forge": "glpat-aB3_aB3-aB3aB3",
    "chat": "xoxb-123456789012-aB3aB3aB3",
    "web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.aB3-_aB3",
    "block": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nowIB\n-----END RSA PRIVATE KEY-----",
    "block that was cut off": "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r",
}
PAIRS = (
    ("git+ref:///state?remote=https%3A%2F%2Fu%3Ahunter2%40host%2Fx.git", "hunter2"),
    ("?remote=https%3a%2f%2fhunter2@host&x=1", "hunter2"),
    ('{"authorization": "Basic dTpw", "x": 1}', "dTpw"),
    ('Cookie: sid="a b"; theme=dark', "a b"),
    ('Authorization: Digest username="bob", response="0123abcd"', "0123abcd"),
    ("psql postgresql://bob:pa/ss@host/db", "pa/ss"),
    ("curl -u bob:hunter2 https://host", "hunter2"),
    ("curl --user=bob:hunter2 https://host", "hunter2"),
    ("https://hooks.slack.com/services/T000/B000/XXXX", "XXXX"),
    ("password=hunter2", "hunter2"),
    ("PGPASSWORD=hunter2 psql", "hunter2"),
    ("DB_PASSWORD: 'hunter 2'", "hunter 2"),
    ('"password": "hun\\"ter2"', "ter2"),
    ('{\\"token\\": \\"hunter2\\"}', "hunter2"),
    ('"password": "cut off in the midd', "midd"),
    ("accessToken: hunter2", "hunter2"),
    ("token = hunter2, retried", "hunter2"),
    ("?user=x&access_token=hunter2&page=2", "hunter2"),
    ("X-Amz-Signature=hunter2", "hunter2"),
    ("AWS_SECRET_ACCESS_KEY=hun/ter+2", "ter+2"),
    ("api-key: hunter2", "hunter2"),
    ("client.secret => hunter2", "hunter2"),
    ("tool --password hunter2 --verbose", "hunter2"),
    ("tool --api-token 'hunter 2'", "hunter 2"),
    ("Authorization: Bearer hunter2.x", "hunter2"),
    ("Authorization: token hunter2", "hunter2"),
    ("-H 'authorization: Basic aHVudGVyMg=='", "aHVudGVyMg"),
    ("Proxy-Authorization=Digest a b c", "a b c"),
    ("Cookie: session=hunter2; other=x", "hunter2"),
    ("got bearer hunter2!", "hunter2"),
    ("https://bob:hunter2@host/path", "hunter2"),
    ("redis://:hunter2@host:6379/0", "hunter2"),
    ("https://hunter2@host/x.git", "hunter2"),
    ("postgresql+psycopg://bob:hun@ter2@host/db", "ter2"),
)
PLAIN = (
    "npm install @scope/name -u",
    "https://host:8080/path and user: bob",
    "exit status 1",
    "AssertionError: expected 3, got 4 (tests/test_x.py:12)",
    "see https://host/path?page=2#top and mail bob@host",
    "task-0123456789abcdef0123456789abcdef failed",
    "the token was refused; ask for a new password",
    "attempt_token_mismatch",
    "taken over from ws/a: owner_stale",
    "compass: 12, bypass=1",
    "",
)
short = st.text(alphabet=string.ascii_letters + string.digits + " \n\t.,;:=@/'\"-", max_size=60)


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_key_is_known_by_its_shape_wherever_it_stands(secret: str) -> None:
    for before, after in (("", ""), ("could not push: ", " (denied)"), ("key=", "&x=1"), ("[", "]"), ("a\n", "\nb")):
        text = masked(before + secret + after)
        assert MASK in text
        assert not any(piece in text for piece in secret.split() if len(piece) > 7 and "-----" not in piece)
        assert "MII" not in text


@pytest.mark.parametrize("text, secret", PAIRS)
def test_what_is_called_secret_is_masked_and_its_name_stays(text: str, secret: str) -> None:
    shown = masked(text)
    assert secret not in shown
    assert MASK in shown


def test_what_stands_around_a_secret_stays() -> None:
    assert masked("git push https://bob:pw@host/x.git failed: 403") == f"git push https://{MASK}@host/x.git failed: 403"
    assert masked("login password=pw; retried 3 times") == f"login password={MASK}; retried 3 times"
    assert masked(f"refused ghp_{LONG} for acme/app") == f"refused {MASK} for acme/app"


@pytest.mark.parametrize("text", PLAIN)
def test_text_without_secrets_is_left_alone(text: str) -> None:
    assert masked(text) == text


@given(short, st.sampled_from(sorted(SECRETS.values())), short)
def test_no_surroundings_bring_a_key_through(before: str, secret: str, after: str) -> None:
    if "-----" not in secret:
        assert secret[-8:] not in masked(f"{before} {secret} {after}").replace(after, "")


@pytest.mark.parametrize("text", [*SECRETS.values(), *(text for text, _ in PAIRS)])
def test_masking_again_changes_nothing(text: str) -> None:
    once = masked(f"one: {text} two")
    assert masked(once) == once


@given(st.text(max_size=50), st.integers(1, 60))
def test_the_text_is_cut_to_size_after_masking(text: str, most: int) -> None:
    assert len(masked(text, characters_max=most)) <= most
    assert masked(f"{'x' * 30} ghp_{LONG}", characters_max=36) == f"{'x' * 30} {MASK}"


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "-----BEGIN ",
        "a://",
        "password",
        "token=",
        "--token ",
        "eyJ",
        "ghp_",
        "a_",
        "a.",
        '"',
        "\\",
        "x@",
        "authorization:",
        " ",
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    began_s = time.perf_counter()
    masked(piece * (100_000 // len(piece)))
    assert time.perf_counter() - began_s < 2.0

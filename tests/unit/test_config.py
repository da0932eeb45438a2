"""Settings are read without guessing, and every problem is named at once."""

import ipaddress
from pathlib import Path

import pytest
from pydantic import ValidationError

from idp.config import SECRETS, VARIABLES, ConfigError, Settings, is_loopback_url

VALID = {
    "IDP_ISSUER": "https://login.example.se",
    "IDP_SECRET_KEY": "0123456789abcdef0123456789abcdef",
}


def problems(**changes: str | None) -> list[str]:
    """What is wrong with the valid settings after these changes; None takes one away."""
    environ = {name: value for name, value in {**VALID, **changes}.items() if value is not None}
    with pytest.raises(ConfigError) as caught:
        Settings.from_environ(environ)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def settings(**changes: str) -> Settings:
    return Settings.from_environ({**VALID, **changes})


def test_issuer_and_secret_are_all_it_takes() -> None:
    made = settings()
    assert made.issuer == "https://login.example.se"
    assert made.database_url == "sqlite:///var/idp.sqlite3"
    assert (made.keys_dir, made.clients_file) == (Path("keys"), Path("clients.yaml"))
    assert made.trusted_proxies == ()
    assert (made.session.idle_minutes, made.session.hours) == (60, 10)
    assert (made.password.hash_memory_kib, made.password.hash_time) == (19456, 2)
    assert made.password.hash_parallelism == 1
    assert made.is_https
    assert not made.is_loopback


def test_every_setting_can_be_given() -> None:
    given = {
        "IDP_ISSUER": "http://127.0.0.1:8000",
        "IDP_SECRET_KEY": "fedcba9876543210fedcba9876543210",
        "IDP_DATABASE_URL": "postgresql://idp@db/idp",
        "IDP_KEYS_DIR": "/etc/idp/keys",
        "IDP_CLIENTS_FILE": "/etc/idp/clients.yaml",
        "IDP_MAIL_URL": "smtps://mail.example.se",
        "IDP_MAIL_FROM": "login@example.se",
        "IDP_REDIS_URL": "redis://cache:6379/1",
        "IDP_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7,2001:db8::/32",
        "IDP_DATABASE_POOL_SIZE": "3",
        "IDP_LIMIT_LOGIN_PER_ADDRESS": "5/minute",
        "IDP_LIMIT_LOGIN_PER_ACCOUNT": "4 per 2 hours; 9/day",
        "IDP_BRAND_NAME": "Exempel",
        "IDP_BRAND_COLOUR": "#123abc",
        "IDP_PASSWORD_HASH_MEMORY_KIB": "65536",
        "IDP_SESSION_HOURS": "8",
        "IDP_LOG_LEVEL": "debug",
        "IDP_LOG_FORMAT": "text",
    }
    made = Settings.from_environ(given)
    assert made.is_loopback
    assert not made.is_https
    assert made.secret_key.get_secret_value() == given["IDP_SECRET_KEY"]
    assert made.database_url == "postgresql+psycopg://idp@db/idp"
    assert made.trusted_proxies == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("192.0.2.7"),
        ipaddress.ip_network("2001:db8::/32"),
    )
    assert made.limits.login_per_account == "4 per 2 hours; 9/day"
    assert (made.brand.name, made.brand.colour) == ("Exempel", "#123abc")
    assert (made.password.hash_memory_kib, made.session.hours) == (65536, 8)
    assert (made.log.level, made.log.format) == ("debug", "text")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        settings().session.hours = 20


def test_a_secret_is_not_shown() -> None:
    made = settings()
    assert VALID["IDP_SECRET_KEY"] not in f"{made!r} {made}"


BAD = [
    ("IDP_ISSUER", None, "IDP_ISSUER is missing"),
    ("IDP_ISSUER", "", "IDP_ISSUER is missing"),
    ("IDP_ISSUER", "login.example.se", "absolute https URL"),
    ("IDP_ISSUER", "ftp://login.example.se", "absolute https URL"),
    ("IDP_ISSUER", "https://", "absolute https URL"),
    ("IDP_ISSUER", "https://login.example.se:", "absolute https URL"),
    ("IDP_ISSUER", "https://[::1", "not a URL"),
    ("IDP_ISSUER", "https://login.example.se:99999", "not a URL"),
    ("IDP_ISSUER", "https://login.example.se/", "a path or a trailing slash"),
    ("IDP_ISSUER", "https://login.example.se/idp", "must not contain a path"),
    ("IDP_ISSUER", "https://login.example.se?x=1", "must not contain a query"),
    ("IDP_ISSUER", "https://login.example.se#x", "fragment"),
    ("IDP_ISSUER", "https://anna@login.example.se", "user name"),
    ("IDP_ISSUER", "https://login.example.se ", "without spaces"),
    ("IDP_ISSUER", "https://lösen.example.se", "xn--"),
    ("IDP_ISSUER", "http://login.example.se", "http is allowed on a loopback address only"),
    ("IDP_ISSUER", "http://localhost.example.se", "http is allowed on a loopback address only"),
    ("IDP_ISSUER", "http://127.0.0.1.example.se", "http is allowed on a loopback address only"),
    ("IDP_SECRET_KEY", None, "IDP_SECRET_KEY is missing"),
    ("IDP_SECRET_KEY", "", "IDP_SECRET_KEY is missing"),
    ("IDP_SECRET_KEY", "0123456789abcdef0123456789abcde", "at least 32 characters; make one with: openssl"),
    ("IDP_SECRET_KEY", "change-me" * 5, "looks like an example"),
    ("IDP_SECRET_KEY", "0123456789-Development-0123456789", "looks like an example"),
    ("IDP_SECRET_KEY", "ababab" * 8, "looks like an example"),
    ("IDP_DATABASE_URL", "mysql://db/idp", "must begin with sqlite:/// or postgresql://"),
    ("IDP_REDIS_URL", "http://cache", "must begin with redis://"),
    ("IDP_MAIL_URL", "mail.example.se", "must begin with smtp://"),
    ("IDP_TRUSTED_PROXIES", "10.0.0.0/8, proxy.example.se", "'proxy.example.se' does not appear to be"),
    ("IDP_TRUSTED_PROXIES", "10.0.0.1/8", "10.0.0.1/8 has host bits set"),
    ("IDP_LIMIT_LOGIN_PER_ADDRESS", "often", "must look like 30/minute"),
    ("IDP_LIMIT_LOGIN_PER_ACCOUNT", "10/fortnight", "must look like 30/minute"),
    ("IDP_LIMIT_LOGIN_OVERALL", "0/minute", "at least one try"),
    ("IDP_SESSION_IDLE_MINUTES", "an hour", "must be a whole number"),
    ("IDP_SESSION_HOURS", "0", "must be at least 1"),
    ("IDP_SESSION_INTERACTION_MINUTES", "1441", "must be at most 1440"),
    ("IDP_PASSWORD_HASH_TIME", "0", "must be at least 1"),
    ("IDP_PASSWORD_HASHES_AT_ONCE", "0", "must be at least 1"),
    ("IDP_PASSWORD_HASH_MEMORY_KIB", "99999999999", "must be at most"),
    ("IDP_BRAND_LOGO", "/nowhere/logo.svg", "cannot be read: No such file or directory"),
    ("IDP_BRAND_COLOUR", "green", "must be a colour such as #0b5c4b"),
    ("IDP_BRAND_COLOUR", "#12345;}", "must be a colour"),
    ("IDP_LOG_LEVEL", "loud", "must be debug, info, warning or error"),
    ("IDP_BANKID_ENVIRONMENT", "moon", "IDP_BANKID_ENVIRONMENT"),
]


@pytest.mark.parametrize(("name", "value", "words"), BAD)
def test_a_bad_value_is_one_problem_that_names_its_variable(name: str, value: str | None, words: str) -> None:
    found = problems(**{name: value})
    assert len(found) == 1
    assert found[0].startswith(name)
    assert words in found[0]


def test_every_problem_is_told_at_once() -> None:
    found = problems(
        IDP_ISSUER="http://login.example.se",
        IDP_SECRET_KEY="short",
        IDP_SESSION_HOURS="many",
        IDP_LIMIT_LOGIN_OVERALL="often",
        IDP_SESION_HOURS="3",
        IDP_REDIS_URL_FILE="/nowhere/redis",
    )
    told = "\n".join(found)
    assert len(found) == 6
    for name in (
        "IDP_ISSUER",
        "IDP_SECRET_KEY",
        "IDP_SESSION_HOURS",
        "IDP_LIMIT_LOGIN_OVERALL",
        "IDP_SESION_HOURS",
        "IDP_REDIS_URL_FILE",
    ):
        assert name in told


@pytest.mark.parametrize("value", ["hemligt-0815", "mysql://idp:hemligt-0815@db/idp"])
@pytest.mark.parametrize("name", ["IDP_SECRET_KEY", "IDP_DATABASE_URL", "IDP_REDIS_URL", "IDP_MAIL_URL"])
def test_a_problem_never_repeats_a_secret(name: str, value: str) -> None:
    assert "hemligt-0815" not in "\n".join(problems(**{name: value}))


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("IDP_SESION_HOURS", ", did you mean IDP_SESSION_HOURS?"),
        ("IDP_SECRET_KEYFILE", ", did you mean IDP_SECRET_KEY_FILE?"),
        ("IDP_ISSUER_URL", ", did you mean IDP_ISSUER?"),
        ("IDP_XYZZY", ""),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest(name: str, advice: str) -> None:
    assert problems(**{name: "1"}) == [f"{name}: no such setting{advice}"]


def test_variables_without_our_prefix_are_ignored() -> None:
    assert settings(PATH="/bin", DATABASE_URL="x", idp_issuer="x").issuer == VALID["IDP_ISSUER"]


def test_an_empty_variable_counts_as_not_given() -> None:
    assert settings(IDP_SESSION_HOURS="", IDP_SECRET_KEY_FILE="").session.hours == 10


# NAME_FILE

SECRET_VALUES = {
    "IDP_DATABASE_URL": "postgresql://idp:hemligt@db/idp",
    "IDP_REDIS_URL": "redis://:hemligt@cache",
    "IDP_MAIL_URL": "smtp://idp:hemligt@mail.example.se",
}


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_may_lie_in_a_file(tmp_path: Path, end: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"fedcba9876543210fedcba9876543210" + end.encode())
    made = Settings.from_environ({"IDP_ISSUER": VALID["IDP_ISSUER"], "IDP_SECRET_KEY_FILE": str(path)})
    assert made.secret_key.get_secret_value() == "fedcba9876543210fedcba9876543210"


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_every_secret_may_lie_in_a_file(tmp_path: Path, name: str) -> None:
    value = SECRET_VALUES.get(name, VALID["IDP_SECRET_KEY"])
    path = tmp_path / "secret"
    path.write_text(value)
    environ = {key: value for key, value in VALID.items() if key != name}
    from_file = Settings.from_environ({**environ, f"{name}_FILE": str(path)})
    assert from_file == Settings.from_environ({**environ, name: value})
    assert from_file != Settings.from_environ({**environ, name: value + "0"})


def test_an_empty_file_is_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("\n")
    (told,) = problems(IDP_SECRET_KEY=None, IDP_SECRET_KEY_FILE=str(path))
    assert told.startswith("IDP_SECRET_KEY: must have at least 32 characters")


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("fedcba9876543210fedcba9876543210")
    assert problems(IDP_SECRET_KEY_FILE=str(path)) == [
        "IDP_SECRET_KEY and IDP_SECRET_KEY_FILE are both set: keep one of them"
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, reason in (
        (tmp_path / "missing", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (binary, "not UTF-8 text"),
    ):
        assert problems(IDP_REDIS_URL_FILE=str(path)) == [f"IDP_REDIS_URL_FILE: cannot read {path}: {reason}"]


def test_only_secrets_have_files() -> None:
    assert problems(IDP_KEYS_DIR_FILE="x")[0].startswith("IDP_KEYS_DIR_FILE: no such setting")


def test_names_are_made_from_the_models() -> None:
    assert VARIABLES["IDP_LIMIT_LOGIN_PER_ADDRESS"] == ("limits", "login_per_address")
    assert VARIABLES["IDP_ISSUER"] == ("issuer",)
    assert set(VARIABLES) >= SECRETS
    assert len(set(VARIABLES.values())) == len(VARIABLES)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8000", True),
        ("http://127.0.0.1", True),
        ("http://[::1]:8000", True),
        ("https://login.example.se", False),
        ("http://localhost.example.se", False),
        ("http://127.0.0.2.nip.io", False),
    ],
)
def test_loopback_urls_are_recognised(url: str, expected: bool) -> None:
    assert is_loopback_url(url) is expected

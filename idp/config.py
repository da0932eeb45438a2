"""Settings: the environment read once, checked whole, then frozen."""

import difflib
import ipaddress
import re
from collections.abc import Mapping
from datetime import timedelta
from email.utils import getaddresses
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

import limits
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
STARTTLS_QUERIES = ("starttls=required", "starttls=off")
SECRET_MIN_LENGTH = 32
EXAMPLE_WORDS = ("change-me", "changeme", "secret", "insecure", "development", "password")
HOW_TO_MAKE_ONE = "make one with: openssl rand -hex 32"


class ConfigError(Exception):
    """Every problem found in the settings or in a file they name; `problems` has one line for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def is_loopback_url(url: str) -> bool:
    """Whether an http(s) URL names this machine: only then may it do without TLS."""
    return urlsplit(url).hostname in LOOPBACK_HOSTS


def _issuer(value: str) -> str:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("not a URL") from None
    if not re.fullmatch(r"[!-~]+", value):
        raise ValueError("must be ASCII without spaces; a host name with å is written xn--…")
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.netloc.endswith(":"):
        raise ValueError("must be an absolute https URL, such as https://login.example.se")
    if parts.query or parts.fragment or parts.username or "@" in parts.netloc:
        raise ValueError("must not contain a query, fragment or user name (OpenID Connect Discovery §3)")
    if parts.path:
        raise ValueError("must not contain a path or a trailing slash: the provider owns its whole host name")
    if parts.scheme == "http" and not is_loopback_url(value):
        raise ValueError("must be https; http is allowed on a loopback address only")
    return value


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    networks = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        try:
            networks.append(ipaddress.ip_network(part))
        except ValueError as error:
            raise ValueError(f"must be networks such as 10.0.0.0/8, 192.0.2.7: {error}") from None
    return tuple(networks)


def _rate(value: str) -> str:
    try:
        rates = limits.parse_many(value)
    except ValueError:
        raise ValueError("must look like 30/minute or 100 per 2 hours") from None
    if not all(rate.amount for rate in rates):
        raise ValueError("must allow at least one try, or nobody could log in")
    return value


def _database_url(value: str) -> str:
    if not re.match(r"(sqlite|postgresql(\+psycopg)?)://", value):
        raise ValueError("must begin with sqlite:/// or postgresql://")
    return re.sub(r"^postgresql://", "postgresql+psycopg://", value)


def _mail_url(value: str) -> str:
    if value.startswith("file:"):
        if not value.removeprefix("file:"):
            raise ValueError("must name the folder for the mails: file:DIR")
        return value
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("not a URL; a password's @ / : and ? are written %40 %2F %3A %3F") from None
    if parts.scheme not in ("smtp", "smtps"):
        raise ValueError("must begin with smtp://, smtps:// or file:")
    if not parts.hostname or parts.path not in ("", "/") or parts.fragment:
        raise ValueError("must look like smtp://user:password@mail.example.se:587")
    if bool(parts.username) != bool(parts.password):
        raise ValueError("must contain both a user name and a password, or neither")
    if not unquote(f"{parts.username}{parts.password}").isascii():
        raise ValueError("must contain only ASCII in user name and password")
    if parts.query not in ("", *(STARTTLS_QUERIES if parts.scheme == "smtp" else ())):
        raise ValueError("may end in ?starttls=required or ?starttls=off, and only with smtp://")
    if parts.query == "starttls=off" and parts.username and parts.hostname not in LOOPBACK_HOSTS:
        raise ValueError("would send the password in clear text: remove ?starttls=off")
    return value


def _mail_from(value: str) -> str:
    addresses = [address for _, address in getaddresses([value])]
    if len(addresses) != 1 or not re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", addresses[0]):
        raise ValueError("must be one address, such as no-reply@example.se or Example <no-reply@example.se>")
    if not value.isprintable():
        raise ValueError("must be one line")
    return value


def _web(value: str) -> str:
    if not re.fullmatch(r"https?://[!-~]+", value):
        raise ValueError("must begin with https://")
    return value


def _redis_url(value: str) -> str:
    if urlsplit(value).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return value


def _colour(value: str) -> str:
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise ValueError("must be a colour such as #0b5c4b")
    return value


def _readable(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    return path


Rate = Annotated[str, AfterValidator(_rate)]
Colour = Annotated[str, AfterValidator(_colour)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LimitSettings(Part):
    """How often something may be tried, as `30/minute` (also several, `10/minute; 100/day`)."""

    login_per_address: Rate = "30/minute; 300/hour"
    login_per_account: Rate = "10/15 minutes; 50/day"
    login_overall: Rate = "3000/minute"
    client_authentication: Rate = "20/minute"
    bankid_per_address: Rate = "60/minute; 600/hour"
    reset_per_address: Rate = "60/hour; 300/day"
    reset_per_account: Rate = "5/hour; 20/day"
    email_change: Rate = "5/hour; 20/day"
    users_per_company: Rate = "100/hour; 500/day"


class BrandSettings(Part):
    """The name and the look of pages and mails.

    `company`, `web`, `slogan`, telephone and e-mail are the mails' footer; `welcome` has the operator's own
    paragraphs of the welcome mail, one per line. A text without an English version is sent in Swedish.
    """

    name: str = "Leasify"
    logo: Annotated[Path, AfterValidator(_readable)] | None = None
    colour: Colour = "#0b5c4b"
    colour_dark: Colour = "#5fd0b0"
    support_email: str = ""
    support_phone: str = ""
    company: str = ""
    web: Annotated[str, AfterValidator(_web)] = ""
    slogan: str = "Vi sänker era leasingkostnader"
    slogan_en: str = ""
    welcome: str = ""
    welcome_en: str = ""

    def in_language(self, text: Literal["slogan", "welcome"], locale: str) -> str:
        """The operator's own text for readers of this language."""
        english: str = getattr(self, f"{text}_en") if locale == "en" else ""
        swedish: str = getattr(self, text)
        return english or swedish


class PasswordSettings(Part):
    """Argon2id cost (the defaults are OWASP's floor) and how many hashes may run at once in a worker."""

    hash_memory_kib: Annotated[int, Field(ge=8, le=4 * 1024 * 1024)] = 19456
    hash_time: Annotated[int, Field(ge=1)] = 2
    hash_parallelism: Annotated[int, Field(ge=1)] = 1
    hashes_at_once: Annotated[int, Field(ge=1)] = 2


class ResetSettings(Part):
    """How long a mailed link to choose a password may be used."""

    link_minutes: Annotated[int, Field(ge=5, le=1440)] = 60


class SessionSettings(Part):
    idle_minutes: Annotated[int, Field(ge=1)] = 60
    hours: Annotated[int, Field(ge=1)] = 10
    interaction_minutes: Annotated[int, Field(ge=1, le=1440)] = 60

    @property
    def interaction_lifetime(self) -> timedelta:
        return timedelta(minutes=self.interaction_minutes)


class BankIdSettings(Part):
    """Where BankID answers and who we are there: all of its addresses and roots follow from `environment`.

    The certificate is a PEM file with its `key` beside it, or PKCS#12 with its `passphrase`.
    `certificates_dir` holds further ones that clients.yaml names: NAME.pem with NAME.key, or NAME.p12 with
    NAME.passphrase.
    """

    environment: Literal["off", "simulator", "test", "production"] = "off"
    certificate: Path | None = None
    key: Path | None = None
    passphrase: SecretStr | None = None
    certificates_dir: Path | None = None
    simulator_dir: Path | None = None
    acr: str = "http://id.swedenconnect.se/loa/1.0/uncertified-loa3"
    same_device: Literal["enforce", "log"] = "enforce"
    high_risk: Literal["refuse", "allow"] = "refuse"
    evidence_days: Annotated[int, Field(ge=1)] = 365


class LogSettings(Part):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class Settings(Part):
    """Every decision of an operator. Made by `from_environ`, which reports every problem at once."""

    issuer: Annotated[str, AfterValidator(_issuer)]
    secret_key: SecretStr
    database_url: Annotated[str, AfterValidator(_database_url)] = "sqlite:///var/idp.sqlite3"
    keys_dir: Path = Path("keys")
    clients_file: Path = Path("clients.yaml")
    mail_url: Annotated[str, AfterValidator(_mail_url)] | None = None
    mail_from: Annotated[str, AfterValidator(_mail_from)] | None = None
    redis_url: Annotated[str, AfterValidator(_redis_url)] | None = None
    personal_number_keys: SecretStr | None = None
    metrics_token: Annotated[SecretStr, Field(min_length=SECRET_MIN_LENGTH)] | None = None
    bankid: BankIdSettings = BankIdSettings()
    trusted_proxies: Annotated[tuple[IPNetwork, ...], BeforeValidator(_networks)] = ()
    database_pool_size: Annotated[int, Field(ge=1)] = 8
    limits: LimitSettings = LimitSettings()
    brand: BrandSettings = BrandSettings()
    password: PasswordSettings = PasswordSettings()
    reset: ResetSettings = ResetSettings()
    session: SessionSettings = SessionSettings()
    log: LogSettings = LogSettings()

    @property
    def is_loopback(self) -> bool:
        """Whether this is a try-out on one machine: more talkative errors, http allowed."""
        return is_loopback_url(self.issuer)

    @property
    def is_https(self) -> bool:
        return self.issuer.startswith("https:")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """The settings in the `IDP_*` variables.

        A secret may be given as a file's path in NAME_FILE instead. Raises `ConfigError` with every
        problem: missing, malformed, misspelt, or given twice.
        """
        problems: list[str] = []
        given = {name: value for name, value in environ.items() if name.startswith("IDP_") and value != ""}
        values: dict[str, Any] = {}
        for name, value in _with_files(given, problems).items():
            place = VARIABLES.get(name)
            if place is None:
                problems.append(f"{name}: no such setting{_nearest(name)}")
            elif len(place) == 1:
                values[place[0]] = value
            else:
                values.setdefault(place[0], {})[place[1]] = value
        settings = None
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            problems += [_explained(item) for item in error.errors(include_url=False, include_input=False)]
        problems += _secret_problems(values.get("secret_key"))
        if settings is None or problems:
            raise ConfigError(problems)
        return settings


# Groups whose variables carry the group's name: IDP_LIMIT_LOGIN_PER_ADDRESS, IDP_SESSION_HOURS …
GROUPS: dict[str, tuple[str, type[Part]]] = {
    "limits": ("LIMIT", LimitSettings),
    "brand": ("BRAND", BrandSettings),
    "password": ("PASSWORD", PasswordSettings),
    "reset": ("RESET", ResetSettings),
    "session": ("SESSION", SessionSettings),
    "log": ("LOG", LogSettings),
    "bankid": ("BANKID", BankIdSettings),
}


def _variables() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for field in Settings.model_fields:
        if field in GROUPS:
            prefix, part = GROUPS[field]
            for member in part.model_fields:
                found[f"IDP_{prefix}_{member}".upper()] = (field, member)
        else:
            found[f"IDP_{field}".upper()] = (field,)
    return found


VARIABLES = _variables()
SECRETS = frozenset(
    f"IDP_{name}"
    for name in (
        *("SECRET_KEY", "PERSONAL_NUMBER_KEYS", "BANKID_PASSPHRASE", "METRICS_TOKEN"),
        *("DATABASE_URL", "REDIS_URL", "MAIL_URL"),
    )
)


def _with_files(given: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """The variables with every NAME_FILE of a secret replaced by the file's content."""
    found = {}
    for name, value in given.items():
        secret = name.removesuffix("_FILE")
        if secret == name or secret not in SECRETS:
            found[name] = value
        elif secret in given:
            problems.append(f"{secret} and {name} are both set: keep one of them")
        else:
            try:
                found[secret] = Path(value).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                problems.append(f"{name}: cannot read {value}: {reason}")
    return found


def _variable_name(location: tuple[int | str, ...]) -> str:
    for name, place in VARIABLES.items():
        if place == tuple(location[: len(place)]):
            return name
    return str(location[0])


def _explained(error: Any) -> str:
    name = _variable_name(error["loc"])
    if error["type"] == "missing":
        return f"{name} is missing"
    phrased = _phrased(error["type"], error.get("ctx", {}))
    return f"{name}: {phrased or error['msg'].removeprefix('Value error, ')}"


def _phrased(kind: str, context: Mapping[str, Any]) -> str | None:
    """pydantic's own problems in the words of the others; None for those that our checks worded."""
    if kind == "literal_error":
        return f"must be {context['expected'].replace(chr(39), '')}"
    return {
        "int_parsing": "must be a whole number",
        "int_parsing_size": "must be a whole number",
        "too_short": f"must have at least {context.get('min_length')} characters",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than_equal": f"must be at most {context.get('le')}",
    }.get(kind)


def _secret_problems(secret: str | None) -> list[str]:
    if secret is None:
        return []  # reported as missing
    if len(secret) < SECRET_MIN_LENGTH:
        return [f"IDP_SECRET_KEY: must have at least {SECRET_MIN_LENGTH} characters; {HOW_TO_MAKE_ONE}"]
    if any(word in secret.lower() for word in EXAMPLE_WORDS) or len(set(secret)) < 8:
        return [f"IDP_SECRET_KEY: looks like an example; {HOW_TO_MAKE_ONE}"]
    return []


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, [*VARIABLES, *(f"{secret}_FILE" for secret in SECRETS)], 1)
    return f", did you mean {near[0]}?" if near else ""

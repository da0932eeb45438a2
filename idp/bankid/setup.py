"""BankID from the settings: environment, certificates and clients, checked when the server starts."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import BoundedSemaphore

import structlog
from cryptography import x509

from idp.bankid.api import environment, named_certificates
from idp.bankid.api.cancelling import Cancels
from idp.bankid.api.certificate import RpCertificate, refuse_in_production
from idp.bankid.api.circuit import Circuit
from idp.bankid.api.client import BankIdClient, make_http_client
from idp.bankid.api.environment import Environment, SetupError
from idp.clock import utcnow
from idp.config import BankIdSettings, ConfigError
from idp.crypto import Sealer
from idp.extensions import Slot

log = structlog.get_logger("idp.bankid")

CALLS_AT_ONCE = 4  # of a worker's 8 threads: the rest serve others while BankID is slow
RENEWALS_AT_ONCE = 3  # codes that were shown together end together: the renewals must not take every thread


@dataclass(frozen=True)
class BankId:
    """All that calls to BankID and verification need; made once per application."""

    client: BankIdClient
    environment: Environment
    rp_certificate: x509.Certificate
    circuit: Circuit
    sealer: Sealer
    retention: timedelta
    same_device_policy: str  # enforce or log
    refuse_high_risk: bool
    calls: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(CALLS_AT_ONCE))
    renewals: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(RENEWALS_AT_ONCE))
    cancels: Cancels = field(default_factory=Cancels)
    clock: Callable[[], datetime] = utcnow  # a call takes time: its answer is newer than a request's `now`
    others: "Mapping[str, BankId]" = field(default_factory=dict)  # by the names of our further certificates

    def with_certificate(self, name: str | None) -> "BankId":
        """The same, called with our certificate of this name; with the first if there is none such."""
        return self.others.get(name, self) if name else self


BANKID: Slot[BankId] = Slot("bankid")
OPENER: Slot[str | None] = Slot("bankid_opener")


def make(settings: BankIdSettings, *, personal_number_keys: str, now: datetime) -> BankId:
    """BankID as the settings describe it. Raises `ConfigError` with every problem found in them.

    An expired certificate is logged and not refused: people can still log in by another method.
    """
    problems: list[str] = []
    sealer: Sealer | None = None
    where: Environment | None = None
    rp: RpCertificate | None = None
    if not personal_number_keys:
        problems.append("IDP_PERSONAL_NUMBER_KEYS is missing: BankID links are stored encrypted")
    else:
        try:
            sealer = Sealer(personal_number_keys)
        except ConfigError as error:
            problems += error.problems
    try:
        where = _environment(settings)
    except SetupError as error:
        problems.append(f"BankID: {error}")
    try:
        rp = certificate(settings)
        if settings.environment == "production":
            refuse_in_production(rp)
    except SetupError as error:
        problems.append(f"BankID: {error}")
    others: dict[str, RpCertificate] = {}
    try:
        others = named_certificates.read(settings.certificates_dir)
        if settings.environment == "production":
            for other in others.values():
                refuse_in_production(other)
    except ConfigError as error:
        problems += error.problems
    except SetupError as error:
        problems.append(f"IDP_BANKID_CERTIFICATES_DIR: {error}")
    if sealer is None or where is None or rp is None or problems:
        raise ConfigError(problems)
    for used in (rp, *others.values()):
        try:
            used.check_validity(now)
        except SetupError as error:
            log.error("bankid_certificate", problem=str(error))
    first = BankId(
        client=BankIdClient(where, make_http_client(where, rp)),
        environment=where,
        rp_certificate=rp.certificate,
        circuit=Circuit(),
        sealer=sealer,
        retention=timedelta(days=settings.evidence_days),
        same_device_policy=settings.same_device,
        refuse_high_risk=settings.high_risk == "refuse",
    )
    # A circuit each: BankID refusing one certificate must not stop the others. The limits are shared.
    named = {
        name: replace(
            first,
            client=BankIdClient(where, make_http_client(where, other)),
            rp_certificate=other.certificate,
            circuit=Circuit(),
        )
        for name, other in others.items()
    }
    return replace(first, others=named)


def opener(settings: BankIdSettings) -> str | None:
    """The address of the page that plays the app, when the simulator plays BankID; None: the app itself."""
    if settings.environment != "simulator" or settings.simulator_dir is None:
        return None
    description = json.loads((settings.simulator_dir / "environment.json").read_bytes())
    return f"{description['phone_url']}/open"


def _environment(settings: BankIdSettings) -> Environment:
    if settings.environment == "production":
        return environment.production()
    if settings.environment == "test":
        return environment.test()
    if settings.simulator_dir is None:
        raise SetupError("IDP_BANKID_SIMULATOR_DIR is missing: it names the folder of `idp bankid-simulator`")
    return environment.simulator(settings.simulator_dir)


def certificate(settings: BankIdSettings) -> RpCertificate:
    """Our certificate at BankID, from PEM or PKCS#12. Raises `SetupError`."""
    if settings.certificate is None:
        raise SetupError("IDP_BANKID_CERTIFICATE is missing: it names the certificate from your bank")
    passphrase = settings.passphrase.get_secret_value() if settings.passphrase else None
    if settings.key is None:
        return RpCertificate.from_pkcs12(settings.certificate, passphrase)
    return RpCertificate.from_pem(settings.certificate, settings.key, passphrase)

"""Each hint code and error has the message that BankID prescribes (BankID RP guide, user messages)."""

import pytest

from idp.bankid.api.messages import PageDevice, RfaId, StartedBy, message, text


@pytest.mark.parametrize(
    ("status", "hint_code", "rfa"),
    [
        ("pending", "outstandingTransaction", "RFA1"),
        ("pending", "noClient", "RFA1"),
        ("pending", "started", "RFA15A"),
        ("pending", "userMrtd", "RFA23"),
        ("pending", "userCallConfirm", "RFA21"),
        ("pending", "userSign", "RFA9"),
        ("pending", "processing", "RFA21"),
        ("pending", "userFace", "RFA24"),
        ("pending", "userStepUp", "RFA25"),
        ("pending", "somethingNew", "RFA21"),
        ("pending", "", "RFA21"),
        ("failed", "expiredTransaction", "RFA8"),
        ("failed", "certificateErr", "RFA16"),
        ("failed", "userCancel", "RFA6"),
        ("failed", "cancelled", "RFA3"),
        ("failed", "startFailed", "RFA17B"),
        ("failed", "userDeclinedCall", "RFA22"),
        ("failed", "notSupportedByUserApp", "RFA22"),
        ("failed", "transactionRiskBlocked", "RFA22"),
        ("failed", "mrtdVerificationFailed", "RFA26"),
        ("failed", "facialRecognitionFailed", "RFA27"),
        ("failed", "nfcNotSupportedByDevice", "RFA28"),
        ("failed", "multipleBankIdsOnDevice", "RFA29"),
        ("failed", "stepUpFailed", "RFA30"),
        ("failed", "somethingNew", "RFA22"),
        ("failed", "userSign", "RFA22"),
        ("FAILED", "USERCANCEL", "RFA6"),
        ("somethingNew", "userSign", "RFA9"),
        ("complete", "", "RFA21"),
    ],
)
def test_each_hint_code_has_its_message(status: str, hint_code: str, rfa: str) -> None:
    assert message(status, hint_code, started_by="qr", device="computer") == rfa


@pytest.mark.parametrize(
    ("started_by", "device", "waiting", "started", "start_failed"),
    [
        ("qr", "computer", "RFA1", "RFA15A", "RFA17B"),
        ("qr", "mobile", "RFA1", "RFA15B", "RFA17B"),
        ("autostart", "computer", "RFA13", "RFA15A", "RFA17A"),
        ("autostart", "mobile", "RFA13", "RFA15B", "RFA17A"),
        ("autostart", "unknown", "RFA13", "RFA15B", "RFA17A"),
    ],
)
def test_start_and_device_choose_between_variants(
    started_by: StartedBy, device: PageDevice, waiting: str, started: str, start_failed: str
) -> None:
    assert message("pending", "outstandingTransaction", started_by=started_by, device=device) == waiting
    assert message("pending", "started", started_by=started_by, device=device) == started
    assert message("failed", "startFailed", started_by=started_by, device=device) == start_failed


@pytest.mark.parametrize(
    ("code", "rfa"),
    [
        ("alreadyInProgress", "RFA4"),
        ("requestTimeout", "RFA5"),
        ("internalError", "RFA5"),
        ("maintenance", "RFA5"),
        ("Maintenance", "RFA5"),
        ("unreachable", "RFA5"),
        ("noAnswer", "RFA5"),
        ("untrustedServer", "RFA5"),
        ("invalidParameters", "RFA22"),
        ("unauthorized", "RFA22"),
        ("tooManyRequests", "RFA22"),
        ("somethingNew", "RFA22"),
    ],
)
def test_an_error_comes_before_the_hint(code: str, rfa: str) -> None:
    assert message("pending", "userSign", started_by="qr", device="computer", error=code) == rfa


@pytest.mark.parametrize("rfa", RfaId)
def test_every_message_is_a_sentence_in_both_languages(rfa: RfaId) -> None:
    swedish, english = text(rfa, "sv"), text(rfa, "en")
    assert swedish != english
    assert swedish[-1] in ".?"
    assert english[-1] in ".?"


def test_the_prescribed_words() -> None:
    assert text(RfaId.RFA9, "sv") == (
        "Skriv in din säkerhetskod i BankID-appen och välj Identifiera eller Skriv under."
    )
    assert text(RfaId.RFA8, "en") == (
        "The BankID app is not responding. Please check that it’s started and that you have internet access. "
        "Try again."
    )
    assert text(RfaId.RFA15B, "sv") == (
        "Söker efter BankID. Säkerställ att du har ett giltigt BankID på den här enheten."
    )

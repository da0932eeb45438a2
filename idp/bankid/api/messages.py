"""BankID's prescribed user messages (BankID RP guide, user messages), and when to show which."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

StartedBy = Literal["qr", "autostart"]
PageDevice = Literal["computer", "mobile", "unknown"]
Language = Literal["sv", "en"]


class RfaId(StrEnum):
    """BankID's ids of its messages. RFA7 and RFA10–12 do not exist; RFA14 and RFA18 are obsolete."""

    RFA1 = "RFA1"
    RFA2 = "RFA2"
    RFA3 = "RFA3"
    RFA4 = "RFA4"
    RFA5 = "RFA5"
    RFA6 = "RFA6"
    RFA8 = "RFA8"
    RFA9 = "RFA9"
    RFA13 = "RFA13"
    RFA15A = "RFA15A"
    RFA15B = "RFA15B"
    RFA16 = "RFA16"
    RFA17A = "RFA17A"
    RFA17B = "RFA17B"
    RFA19 = "RFA19"
    RFA20 = "RFA20"
    RFA21 = "RFA21"
    RFA22 = "RFA22"
    RFA23 = "RFA23"
    RFA24 = "RFA24"
    RFA25 = "RFA25"
    RFA26 = "RFA26"
    RFA27 = "RFA27"
    RFA28 = "RFA28"
    RFA29 = "RFA29"
    RFA30 = "RFA30"


PENDING: Mapping[str, RfaId] = {
    "noclient": RfaId.RFA1,
    "usermrtd": RfaId.RFA23,
    "usercallconfirm": RfaId.RFA21,
    "usersign": RfaId.RFA9,
    "processing": RfaId.RFA21,
    "userface": RfaId.RFA24,
    "userstepup": RfaId.RFA25,
}
FAILED: Mapping[str, RfaId] = {
    "expiredtransaction": RfaId.RFA8,
    "certificateerr": RfaId.RFA16,
    "usercancel": RfaId.RFA6,
    "cancelled": RfaId.RFA3,
    "userdeclinedcall": RfaId.RFA22,
    "notsupportedbyuserapp": RfaId.RFA22,
    "transactionriskblocked": RfaId.RFA22,
    "mrtdverificationfailed": RfaId.RFA26,
    "facialrecognitionfailed": RfaId.RFA27,
    "nfcnotsupportedbydevice": RfaId.RFA28,
    "multiplebankidsondevice": RfaId.RFA29,
    "stepupfailed": RfaId.RFA30,
}
ERRORS: Mapping[str, RfaId] = {
    "alreadyinprogress": RfaId.RFA4,
    "requesttimeout": RfaId.RFA5,
    "internalerror": RfaId.RFA5,
    "maintenance": RfaId.RFA5,
    "unreachable": RfaId.RFA5,
    "untrustedserver": RfaId.RFA5,
    "noanswer": RfaId.RFA5,
}


def message(
    status: str, hint_code: str, *, started_by: StartedBy, device: PageDevice, error: str | None = None
) -> RfaId:
    """The message for a status and hint code of /collect, or for the error code `error` if there is one.

    `device` is the device that shows our page. Codes are compared without regard to case. A code that is
    new counts as "in progress" (RFA21) while the order is pending, and as "something went wrong" (RFA22)
    otherwise.
    """
    if error is not None:
        return for_error(error)
    hint = hint_code.lower()
    if status.lower() == "failed":
        if hint == "startfailed":
            return RfaId.RFA17B if started_by == "qr" else RfaId.RFA17A
        return FAILED.get(hint, RfaId.RFA22)
    if hint == "outstandingtransaction":
        return RfaId.RFA1 if started_by == "qr" else RfaId.RFA13
    if hint == "started":
        # RFA15B says "this device", which is true everywhere; RFA15A says "this computer".
        return RfaId.RFA15A if device == "computer" else RfaId.RFA15B
    return PENDING.get(hint, RfaId.RFA21)


def for_error(code: str) -> RfaId:
    """The message for an error code; RFA22, which blames nobody, for errors that are our own defect."""
    return ERRORS.get(code.lower(), RfaId.RFA22)


def text(rfa: RfaId, language: Language) -> str:
    """The words of a message, as BankID prescribes them."""
    swedish, english = TEXTS[rfa]
    return swedish if language == "sv" else english


# Swedish, English. The English of RFA24–RFA30 is ours: BankID's is not published.
TEXTS: Mapping[RfaId, tuple[str, str]] = {
    RfaId.RFA1: ("Starta BankID-appen.", "Start your BankID app."),
    RfaId.RFA2: (
        "Du verkar inte ha BankID-appen. Installera den och skaffa ett BankID.",
        "You don't seem to have the BankID app. Install the app and get a BankID.",
    ),
    RfaId.RFA3: ("Åtgärden avbröts. Försök igen.", "The action was cancelled. Please try again."),
    RfaId.RFA4: (
        "En identifiering eller underskrift pågår redan för ditt personnummer. Försök igen.",
        "An identification or signature is already in progress for your personal identity number. "
        "Please try again.",
    ),
    RfaId.RFA5: ("Något gick fel. Försök igen.", "Something went wrong. Please try again."),
    RfaId.RFA6: ("Åtgärden avbröts.", "The action was cancelled."),
    RfaId.RFA8: (
        "BankID-appen svarar inte. Kontrollera att den är startad och att du har internetanslutning. "
        "Försök sedan igen.",
        "The BankID app is not responding. Please check that it’s started and that you have internet "
        "access. Try again.",
    ),
    RfaId.RFA9: (
        "Skriv in din säkerhetskod i BankID-appen och välj Identifiera eller Skriv under.",
        "Enter your security code in the BankID app and select Identify or Sign.",
    ),
    RfaId.RFA13: ("Försöker starta BankID-appen.", "Trying to start your BankID app."),
    RfaId.RFA15A: (
        "Söker efter BankID. Säkerställ att du har ett giltigt BankID på den här datorn. "
        "Om du har ett BankID på kort, sätt in kortet i kortläsaren.",
        "Searching for BankID. Make sure you have a valid BankID on this computer. "
        "If you have a BankID on card, please insert the card into your card reader.",
    ),
    RfaId.RFA15B: (
        "Söker efter BankID. Säkerställ att du har ett giltigt BankID på den här enheten.",
        "Searching for BankID. Make sure you have a valid BankID on this device.",
    ),
    RfaId.RFA16: (
        "Ditt BankID är för gammalt eller spärrat. Använd ett annat BankID eller skaffa ett nytt "
        "hos din bank.",
        "Your BankID is blocked or too old. Please use another BankID or get a new one from your bank.",
    ),
    RfaId.RFA17A: (
        "Du verkar inte ha BankID-appen/programmet. Installera den och skaffa ett BankID hos din bank.",
        "You don't seem to have the BankID app/program. Please install it and get a BankID from your bank.",
    ),
    RfaId.RFA17B: (
        "Misslyckades att läsa av QR-koden. Starta BankID-appen och läs av QR-koden.",
        "Failed to scan the QR code. Start the BankID app and scan the QR code.",
    ),
    RfaId.RFA19: (
        "Vill du använda BankID på den här datorn eller ett Mobilt BankID?",
        "Would you like to use BankID on this computer, or a Mobile BankID?",
    ),
    RfaId.RFA20: (
        "Vill du använda BankID på den här enheten eller på en annan enhet?",
        "Do you want to use BankID on this device or another device?",
    ),
    RfaId.RFA21: (
        "En identifiering eller underskrift pågår.",
        "An identification or signing is in progress.",
    ),
    RfaId.RFA22: ("Något gick fel. Försök igen.", "Something went wrong. Please try again."),
    RfaId.RFA23: (
        "Fotografera och läs av din ID-handling med BankID-appen.",
        "Take a photo of, and scan, your ID document with the BankID app.",
    ),
    RfaId.RFA24: (
        "Gör en ansiktsigenkänning i BankID-appen.",
        "Complete the face recognition in the BankID app.",
    ),
    RfaId.RFA25: (
        "Välj hur du vill bekräfta din identitet i BankID-appen.",
        "Choose how you want to confirm your identity in the BankID app.",
    ),
    RfaId.RFA26: (
        "Kontrollen av din ID-handling misslyckades. Försök igen.",
        "Your ID document could not be verified. Please try again.",
    ),
    RfaId.RFA27: (
        "Ansiktsigenkänningen misslyckades. Försök igen.",
        "The face recognition failed. Please try again.",
    ),
    RfaId.RFA28: (
        "Din enhet saknar den läsare som behövs för att kontrollera ID-handlingar.",
        "Your device does not have the reader that is needed to check ID documents.",
    ),
    RfaId.RFA29: (
        "Du har flera BankID på din enhet. Du behöver radera alla utom ett BankID för att kunna slutföra "
        "identifieringen. Det gör du under Meny - Inställningar i din BankID-app.",
        "You have several BankIDs on your device. You need to delete all but one of them to complete the "
        "identification. You do this under Menu - Settings in your BankID app.",
    ),
    RfaId.RFA30: (
        "Bekräftelsen av din identitet misslyckades. Försök igen.",
        "Your identity could not be confirmed. Please try again.",
    ),
}

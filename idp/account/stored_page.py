"""Mina uppgifter as it is stored: the page of most visits, and the one that takes longest to render."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from flask import render_template
from flask_wtf.csrf import generate_csrf

from idp import prewritten
from idp.account import forms
from idp.account.service import AccountDetails
from idp.prewritten import Hole

TYPED = ("version", "email", "name", "title", "phone", "personal_number")
NOTHING_HAPPENED = {
    **{"resumed": False, "busy": False, "password_again": False, "is_conflict": False},
    "conflicts": {},
}


def write(
    before: AccountDetails,
    apps: Mapping[str, str],
    *,
    has_number: bool,
    bankid: Mapping[str, Any] | None,
    sessions: list[dict[str, Any]],
    flags: Mapping[str, bool],
) -> str:
    """The page. `bankid` and `sessions` are their sections' variables, `flags` the others it depends on."""
    chosen = forms.stored_values(before, apps)
    texts: dict[str, str] = {name: chosen.pop(name) for name in TYPED}
    texts |= {"company": before.company, "csrf_token": generate_csrf()}
    if before.pending_email is not None:
        texts["pending_email"] = before.pending_email
    sections = {"bankid": bankid or {}, **{f"session{place}": one for place, one in enumerate(sessions)}}
    others = []
    for section, facts in sections.items():
        for name, fact in facts.items():
            if _decides(fact):
                others.append((section, name, fact))
            else:
                texts[f"{section}_{name}"] = str(fact)
    is_linked = before.linked is not None
    alike = (
        *(tuple(texts), tuple(chosen.items()), tuple(apps.items()), tuple(flags.items())),
        *(tuple(others), bankid is None, has_number, is_linked, before.is_company_admin),
    )

    def with_holes(holes: Mapping[str, Hole]) -> str:
        def shown(section: str) -> dict[str, Any]:
            return {
                name: fact if _decides(fact) else holes[f"{section}_{name}"]
                for name, fact in sections[section].items()
            }

        page = render_template(
            "account/index.html",
            user=SimpleNamespace(
                email=holes["email"],
                profile=SimpleNamespace(name=holes["name"]),
                company=holes["company"],
                pending_email=holes.get("pending_email"),
                is_company_admin=before.is_company_admin,
                linked=holes["personal_number"] if is_linked else None,
            ),
            form=forms.shown({**chosen, **holes}, apps, has_number=has_number),
            bankid=None if bankid is None else shown("bankid"),
            sessions=[shown(f"session{place}") for place in range(len(sessions))],
            **NOTHING_HAPPENED,
            **flags,
        )
        return page.replace(texts["csrf_token"], holes["csrf_token"].mark)  # macros ask for it themselves

    return prewritten.fill_in("account", alike, texts, with_holes)


def _decides(fact: object) -> bool:
    """Whether the page's structure depends on this value, rather than only showing it."""
    return fact is None or isinstance(fact, bool)

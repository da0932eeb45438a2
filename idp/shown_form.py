"""Forms that are only shown: what templates read of a WTForms form, for a tenth of what making one costs."""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from flask_wtf import FlaskForm
from markupsafe import Markup, escape

from idp import i18n


class Label(NamedTuple):
    text: Markup


class Choice(NamedTuple):
    """One of a field's choices."""

    value: str
    label: object
    selected: bool


class ShownField:
    """A field with what is stored. Each field of a form has a class of its own, with what never changes."""

    name: str
    type: str
    label: Label
    description: Markup | str
    widget: object
    errors: tuple[()] = ()

    def __init__(self, data: Any, choices: Mapping[str, Any]) -> None:
        self.data = data
        self.choices = choices

    def _value(self) -> Any:
        return "" if self.data is None else self.data

    def iter_choices(self) -> Iterator[Choice]:
        """Its choices in their order."""
        return (Choice(value, label, value == self.data) for value, label in self.choices.items())


def of(
    form: type[FlaskForm], data: Mapping[str, Any], choices: Mapping[str, Mapping[str, Any]]
) -> SimpleNamespace:
    """The form as it would be made of `data`, its fields as attributes; some fields' `choices` by name."""
    kinds = i18n.texts().shown_forms.get(form)
    if kinds is None:
        kinds = i18n.texts().shown_forms[form] = dict(_kinds(form))
    fields = {
        name: kind(data.get(name), choices.get(name) or offered) for name, (kind, offered) in kinds.items()
    }
    return SimpleNamespace(**fields, errors={})


def _kinds(form: type[FlaskForm]) -> Iterator[tuple[str, tuple[type[ShownField], Mapping[str, Any]]]]:
    """Each field's class in the language that is in force now, and its choices, if it declares them."""
    for name in dir(form):
        unbound = getattr(form, name)
        if hasattr(unbound, "_formfield"):
            label, description = (
                unbound.args[0] if unbound.args else "",
                unbound.kwargs.get("description", ""),
            )
            facts = {
                "name": name,
                "type": unbound.field_class.__name__,
                "label": Label(escape(str(label))),
                "description": escape(str(description)) if description else "",
                "widget": unbound.field_class.widget,
            }
            yield name, (type("ShownField", (ShownField,), facts), unbound.kwargs.get("choices") or {})

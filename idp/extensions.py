"""The application's parts: one typed slot for each, instead of names in a dictionary."""

from typing import Generic, TypeVar, cast

from flask import Flask, current_app

from idp.config import Settings

T = TypeVar("T")


class Slot(Generic[T]):
    """A value that is made with the application and lives as long: `put` once, then read anywhere.

    A feature declares its slot beside the type of its value.
    """

    def __init__(self, name: str) -> None:
        self._key = f"idp.{name}"

    def put(self, app: Flask, value: T) -> None:
        """Store the value in `app`."""
        app.extensions[self._key] = value

    def of(self, app: Flask) -> T:
        """The value in `app`. Raises `KeyError` when none was put there."""
        return cast(T, app.extensions[self._key])

    def current(self) -> T:
        """The value in the running application. Raises `KeyError` when none was put there."""
        return cast(T, current_app.extensions[self._key])

    def find(self, app: Flask | None = None) -> T | None:
        """The value in `app`, or the running application; None where that part is switched off."""
        return cast(T | None, (app or current_app).extensions.get(self._key))


SETTINGS: Slot[Settings] = Slot("settings")


def current_settings() -> Settings:
    """The settings of the application that serves this request or command."""
    return SETTINGS.current()

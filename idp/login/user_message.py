"""A relying app's message to the person who logs in, as login methods may show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MimeType = Literal["text/plain", "text/markdown"]


@dataclass(frozen=True)
class UserMessage:
    """The message by language: a lower-case language tag (`sv`, `en-gb`), or "" for none in particular.

    Its text comes from outside: it is never HTML, whatever it looks like.
    """

    texts: Mapping[str, str]
    mime_type: MimeType = "text/plain"

    def in_language(self, language: str) -> str | None:
        """The text for a page in `language` (`sv`, `en`), else the one without a language, else None.

        A text for a region does for its language too: `en-GB` for `en`.
        """
        wanted = language.lower().replace("_", "-")
        regional = (text for tag, text in self.texts.items() if tag.startswith(f"{wanted}-"))
        return self.texts.get(wanted) or next(regional, None) or self.texts.get("")

    def to_json(self) -> dict[str, Any]:
        return {"texts": dict(self.texts), "mime_type": self.mime_type}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "UserMessage":
        return cls(texts=value["texts"], mime_type=value["mime_type"])

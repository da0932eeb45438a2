"""The pictures and labels of the user guide, checked beside a walk through the pages."""

import re
from pathlib import Path

from playwright.sync_api import FrameLocator, Locator, Page

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = DOCS / "anvandarguide.md"
BOLD = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)
PICTURE = re.compile(r"!\[([^\]]*)\]\(images/(guide-[a-z-]+\.png)\)")
MOST_PICTURE_BYTES = 150_000


def chapters() -> dict[str, str]:
    """The guide's text by chapter heading, in order."""
    _, *parts = re.split(r"^## (.+)$", GUIDE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


class Chapter:
    """What one chapter's walk has come past. `pictures` is the folder that its pictures are put in."""

    def __init__(self, heading: str, pictures: Path) -> None:
        self.text = chapters()[heading]
        self.pictures = pictures
        self.seen: list[str] = []
        self.taken: list[str] = []

    def look(self, page: Page | FrameLocator) -> None:
        """Remember every word that is shown."""
        # As it is written, not as a style sheet may spell it.
        self.seen.append(_joined(page.locator("body").evaluate("body => body.innerText")))

    def take(self, name: str, page: Page, *, of: Locator | None = None, height: int | None = None) -> None:
        """Look at the page and take a picture: its top, so high in CSS pixels, or `of` one part of it."""
        self.look(page)
        path = self.pictures / f"guide-{name}.png"
        if of is not None:
            of.screenshot(path=path)
        else:
            size = page.viewport_size
            assert size is not None
            clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"]}
            page.screenshot(path=path, clip=clip)  # type: ignore[arg-type] - the stub wants its own dict type
        assert 2_000 < path.stat().st_size < MOST_PICTURE_BYTES, path
        self.taken.append(path.name)

    def missing_labels(self) -> list[str]:
        """What stands in bold in the chapter and was on none of the pages."""
        labels = [_joined(label) for label in BOLD.findall(self.text)]
        assert labels
        return [label for label in labels if not any(label in seen for seen in self.seen)]

    def shown_pictures(self) -> list[str]:
        """The chapter's pictures in order; each says in words what it shows."""
        found = PICTURE.findall(self.text)
        assert all(description for description, _ in found)
        return [name for _, name in found]


def _joined(text: str) -> str:
    return " ".join(text.split())

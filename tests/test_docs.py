"""The pages hang together: every link leads somewhere, and the front page is short."""

import inspect
import re
import textwrap
from pathlib import Path
from urllib.parse import unquote

import pytest

import hardener
from benchmarks import commands_page
from benchmarks.readme import PAGES
from benchmarks.setting import ROOT

DEVELOPING = ROOT / "docs" / "developing"
LINKS = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
OWN_FILES = re.compile(r"`((?:hardener|models|tests|benchmarks)/[^`\s]*)`")


def _without_blocks(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)


def _prose(page: Path) -> str:
    """The page without its blocks and spans of code."""
    return re.sub(r"`[^`\n]*`", "", _without_blocks(page))


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", _without_blocks(page), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        number, anchor = 0, name
        while anchor in found:
            number += 1
            anchor = f"{name}-{number}"
        found.add(anchor)
    return found


@pytest.mark.parametrize("page", [*PAGES, ROOT / "SECURITY.md"], ids=lambda page: str(page.name))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in LINKS.findall(_prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target), link


def test_every_page_can_be_reached_from_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in LINKS.findall(_prose(index))}
    assert set(PAGES) - {index} <= linked


def test_the_front_page_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= 8000


def test_the_help_texts_are_those_of_the_commands() -> None:
    text = commands_page.PAGE.read_text(encoding="utf-8")
    assert text.count("```\nUsage: harden") > 1
    assert commands_page.filled(text) == text


def test_the_list_of_rooms_is_that_of_the_package() -> None:
    said = inspect.cleandoc(hardener.__doc__ or "")
    rooms = said.partition("importing only from those above it:\n\n")[2].partition("\n\n")[0]
    assert rooms.count("\n") > 10
    page = (DEVELOPING / "README.md").read_text(encoding="utf-8")
    assert f"\n```\n{textwrap.dedent(rooms)}\n```\n" in page


@pytest.mark.parametrize("page", sorted(DEVELOPING.glob("*.md")), ids=lambda page: str(page.name))
def test_pages_for_developers_name_files_that_exist(page: Path) -> None:
    named = OWN_FILES.findall(_without_blocks(page))
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []

"""Hostile text in Markdown, as a Markdown parser reads it."""

import re
from html import unescape

import pytest
from markdown_it import MarkdownIt

from hardener.reporting.markdown_text import digest, escaped, table

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = [
    "a | b || c",
    "`code` and ``more``",
    "<script>alert(1)</script>",
    "<!-- hidden",
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt; &amp; &#64;team",
    "line\nbreak\r\n\n# heading",
    "@octocat and @org/team please merge",
    "[text](https://evil.example)",
    "![image](https://evil.example/x.png)",
    "[ref]: https://evil.example",
    "https://evil.example www.evil.example mailto:a@b.example",
    "closes #1, GH-2",
    "**bold** __bold__ *em* _em_ ~~gone~~",
    "- item",
    "+ item",
    "--- rule",
    "1. item",
    "12) item",
    "# heading",
    "> quote",
    "=== heading",
    "back\\slash \\| pipe \\` tick \\\\| pipe",
    "$x^2$",
    "control \x1b[31m and \u202eright to left",
    "    indented code",
    "|",
    "\\",
]


def _shown(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html)).replace("\u200b", "")


@pytest.mark.parametrize("text", HOSTILE)
def test_in_a_list_it_is_plain_text(text: str) -> None:
    html = PARSER.render(f"- {escaped(text, 400)}\n- next\n")
    assert set(re.findall(r"</?(\w+)", html)) == {"ul", "li"}
    assert html.count("<li>") == 2
    seen = unescape(re.sub(r"<[^>]+>", "", html))
    assert not re.search(r"@\w|#\d|://|(?i:www\.|mailto:|gh-\d)", seen)


@pytest.mark.parametrize("text", HOSTILE)
def test_in_a_table_it_is_one_cell(text: str) -> None:
    html = PARSER.render("\n".join(table(("name", "value"), [(escaped(text, 400), "1")])))
    assert set(re.findall(r"</?(\w+)", html)) == {"table", "thead", "tbody", "tr", "th", "td"}
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    assert len(cells) == 2
    assert cells[1] == "1"  # a parser drops what is beyond the last column
    assert html.count("<tr>") == 2


@pytest.mark.parametrize("text", [text for text in HOSTILE if text.isprintable()])
def test_what_people_see_is_the_text(text: str) -> None:
    assert _shown(PARSER.renderInline(escaped(text, 400))) == " ".join(text.split())


@pytest.mark.parametrize("character", ["x", "|", "<", "@", "\n", "\x00", "`"])
def test_ten_thousand_characters_are_cut(character: str) -> None:
    cut = escaped(character * 10_000, 60)
    assert len(cut) <= 60
    assert cut.endswith("…") or character == "\n"
    assert "\n" not in cut
    html = PARSER.render(f"- {cut}")
    assert set(re.findall(r"</?(\w+)", html)) == {"ul", "li"}


def test_plain_text_stays_as_it_is() -> None:
    assert escaped("label 8: 4.7 pixels, 0.08 of the median", 60) == (
        "label 8: 4.7 pixels, 0.08 of the median"
    )


def test_a_digest_is_code_and_nothing_else_is() -> None:
    assert digest("0" * 64) == f"`{'0' * 64}`"
    assert digest("") == "none"
    assert "<" not in digest("`<b>`")
    assert digest("`x").startswith("\\`")

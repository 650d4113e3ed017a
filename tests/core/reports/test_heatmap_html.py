"""The HTML file: self-contained, and nothing of the data becomes markup."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from tgdpo_core.reports.heatmap import heatmap
from tgdpo_core.reports.heatmap_html import heatmap_html
from tgdpo_core.scoring.pairs import ScoredPair

Make = Callable[..., ScoredPair]

PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><style>*{background:url(//evil)}</style>",
    "</title></p></span><svg/onload=alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    "{{ 7 * 7 }}{% raw %}{{ cycler.__init__ }}",
    "<!-- --><![CDATA[<iframe src=//evil>]]>",
    "&lt;script&gt; &#60;b&#62;",
    "\u202e\u2066\x1b[31m\x00\ud800 evil",
]


class Elements(HTMLParser):
    """Collects elements with their attributes, and the text between them."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def render(pair: ScoredPair, fact: str = "m") -> str:
    return heatmap_html(heatmap([pair], facts=[("reward", fact)], token_name=lambda _: fact))


def hostile(scored_pair: Make, payload: str) -> str:
    """Return the document of a pair with a payload in every place that data reaches."""
    pair = scored_pair(
        [1.0, 0.0],
        [-1.0, 0.5],
        tokens=([payload, ""], ["no", payload]),
        prompt=[{"role": payload, "content": payload}],
        where=payload,
    )
    return render(pair, fact=payload)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_data_adds_no_element_and_no_attribute(scored_pair: Make, payload: str) -> None:
    tokens = (["ok", ""], ["no", "ok"])
    plain = Elements(render(scored_pair([1.0, 0.0], [-1.0, 0.5], tokens=tokens)))
    found = Elements(hostile(scored_pair, payload))
    # White space and escapes within a token have their own element.
    ignored = {"i", "br", "wbr"}
    assert [t for t in found.tags if t not in ignored] == [
        t for t in plain.tags if t not in ignored
    ]
    names = {name for name, _ in found.attributes}
    assert names <= {name for name, _ in plain.attributes}
    assert not {"href", "src", "style", "onerror", "onload"} & names
    assert not [name for name in names if name.startswith("on")]
    assert "script" not in found.tags


@pytest.mark.parametrize("payload", PAYLOADS)
def test_data_is_shown_as_it_is_written(scored_pair: Make, payload: str) -> None:
    text = "".join(Elements(hostile(scored_pair, payload)).text)
    if payload.isprintable():
        assert payload in text


def test_marks_that_reorder_or_hide_text_never_reach_the_file(scored_pair: Make) -> None:
    document = hostile(scored_pair, "\u202e\u2066\u200b\x1b\x00\ud800")
    assert not re.search(
        "[\u202a-\u202e\u2066-\u2069\u200b\x00-\x08\x0b-\x1f\ud800-\udfff]", document
    )
    assert "\\u202e\\u2066\\u200b\\x1b\\x00\\ud800" in document
    document.encode("utf-8")


def test_the_file_loads_nothing_and_says_so(scored_pair: Make) -> None:
    document = render(scored_pair([1.0], [0.0]))
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'\"" in document
    assert not re.search(r"url\(|@import|<link|<script|https?:", document)


def test_every_attribute_is_quoted(scored_pair: Make) -> None:
    body = render(scored_pair([1.0], [0.0])).partition("<body>")[2]
    assert not re.search(r"<[^>]*\s[\w-]+=[^\"]", body)


def test_each_token_carries_its_numbers_and_its_colours(scored_pair: Make) -> None:
    document = render(scored_pair([1.0], [1.0], tokens=(["yes"], ["no"])))
    spans = re.findall(r'<span class="t ([\w ]+)" title="([^"]*)" data-v="([^"]*)">(\w+)', document)
    numbers = "reward 1, weight {}, log p_ref \N{MINUS SIGN}1 (token 0, id 0)"
    # The colour is the reward, the line the weight; the same on the fixed scale.
    assert spans == [
        ("p8 u8 fp8 fu4", numbers.format("1.5"), "1 1.5", "yes"),
        ("p8 d8 fp8 fd4", numbers.format("0.5"), "1 0.5", "no"),
    ]


def test_weights_that_hardly_vary_are_said_to_be_negligible(scored_pair: Make) -> None:
    said = "The weights hardly vary"
    assert said in render(scored_pair([1.0], [0.0], weights=[1.001, 0.999]))
    assert said not in render(scored_pair([1.0], [0.0]))


@pytest.mark.parametrize(("sizes", "ratio"), [((11, 90), "r-2"), ((90, 11), "r2"), ((9, 8), "r0")])
def test_the_longer_response_gets_the_wider_column(
    scored_pair: Make, sizes: tuple[int, int], ratio: str
) -> None:
    document = render(scored_pair([0.5] * sizes[0], [0.1] * sizes[1]))
    assert f'<div class="sides {ratio}">' in document


def test_no_blank_between_tokens_is_made_up(scored_pair: Make) -> None:
    document = render(scored_pair([1.0, 1.0], [1.0], tokens=(["du", "ck"], ["no"])))
    inside = re.search(r'<p class="tokens">(.*?)</p>', document, re.DOTALL)
    assert inside
    assert "".join(Elements(inside[1]).text) == "duck"


def test_a_scale_without_any_reach_says_the_one_value(scored_pair: Make) -> None:
    text = "".join(Elements(render(scored_pair([0.0], [0.0]))).text)
    assert "0 on every token" in text
    assert "1 on every token" in text

from html.parser import HTMLParser

import numpy as np

from amplify.draw import png
from amplify.evaluate.report import Picture, Section, Table, Video, write_page
from amplify.video import write_video


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.sources = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_page_is_whole_escaped_and_needs_no_network(tmp_path):
    write_video(tmp_path / "film.mp4", np.zeros((3, 16, 16, 3), np.uint8), fps=5)
    section = Section(
        heading="A <heading>",
        text="x < y & z",
        tables=[Table(header=["name", "value"], rows=[["<b>", 0.123456], ["nothing", None], ["big", 12345.6]])],
        pictures=[Picture(png=png(np.zeros((4, 4, 3), np.uint8)), caption="dark")],
        videos=[Video(path=tmp_path / "film.mp4", caption="film")],
        preformatted='{"a": 1}',
    )
    page = tmp_path / "report.html"
    write_page(page, title="Title", verdict="All <well>", sections=[section])
    text = page.read_text()
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    assert {"table", "img", "video", "pre", "h1", "h2"} <= set(tags.seen)
    assert all(source.startswith("data:") for source in tags.sources)
    assert "http" not in text.split("</style>")[1]
    assert "All &lt;well&gt;" in text
    assert "<well>" not in text
    assert "0.123" in text
    assert "12346" in text
    assert "<td>–</td>" in text
    assert not list(tmp_path.glob("*.partial"))

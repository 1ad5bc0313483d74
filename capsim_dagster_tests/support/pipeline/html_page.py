"""An HTML page as a tree, so that tests can ask what it shows."""

from html.parser import HTMLParser
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

VOID = {"meta", "br"}


class _Tree(HTMLParser):
    """Builds the tree and insists that every element is closed where it was opened."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("page")
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = SubElement(self.open[-1], tag, {name: value or "" for name, value in attrs})
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        parent = self.open[-1]
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + data
        else:
            parent.text = (parent.text or "") + data


def read_page(path: Path) -> Element:
    """Return the tree of a page."""
    tree = _Tree()
    tree.feed(path.read_text(encoding="utf-8"))
    tree.close()
    assert tree.open == [tree.root]
    return tree.root


def text_of(element: Element) -> str:
    """Return the text of an element, elements apart by a space."""
    return " ".join(" ".join(element.itertext()).split())


def by_id(page: Element, name: str) -> Element:
    """Return the element with an id."""
    (found,) = [element for element in page.iter() if element.get("id") == name]
    return found


def with_class(element: Element, name: str) -> list[Element]:
    """Return the elements of a class, in order."""
    return [one for one in element.iter() if name in one.get("class", "").split()]


def rows_of(element: Element) -> list[list[str]]:
    """Return the texts of the cells of every table row under an element."""
    return [[text_of(cell) for cell in row if cell.tag in {"th", "td"}] for row in element.iter("tr")]

"""Fills the README's generated tables, between their markers: topics and settings.

Run `python -m streams.readme` after one of them changed; a test fails while the README differs.
"""

from pathlib import Path

from schemas.topics import TOPICS, Topic
from streams import settings_table

README = Path(__file__).parent.parent / "README.md"


def topics_table() -> str:
    """Return the table of public topics and their dead-letter topics."""
    lines = ["| topic | key | value | written by | cleanup | what it says |", "|---|---|---|---|---|---|"]
    lines += [_topic_row(topic) for topic in TOPICS.values() if topic.public]
    return "\n".join(lines)


def filled(text: str) -> str:
    """Return the README's text with every generated table made anew."""
    for name, table in (("topics", topics_table()), ("settings", settings_table.as_markdown())):
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        before, found, rest = text.partition(begin)
        _old, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"README.md has no place for {name}: it needs the lines {begin} and {end}")
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


def _topic_row(topic: Topic) -> str:
    model = f"[JSON Schema](schemas/generated/{topic.role}.schema.json)" if topic.model else "as described"
    return f"| `{topic.role}` | {topic.key} | {model} | {topic.writer} | {topic.cleanup} | {topic.doc} |"


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")

"""Writes what is generated from the models: a JSON Schema each, and an AsyncAPI 3 document for all topics.

Run `python -m schemas.export` after a model changed; a test fails while the committed files differ.
"""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from schemas.envelope import described
from schemas.jobs_file import JobsFile
from schemas.topic import Topic
from schemas.topics import FOREVER, TOPICS

GENERATED = Path(__file__).parent / "generated"
BY_OTHERS = "openapi.json"
"""Is beside them, and written by `python -m streams.readme`: it is made of the console's operations."""
VERSION = "1.0.0"


def generated_files() -> dict[str, str]:
    """Return file name -> text of everything that is generated."""
    files = {
        f"{topic.role}.schema.json": json.dumps(described(topic.model), indent=2, ensure_ascii=False) + "\n"
        for topic in TOPICS.values()
        if topic.model is not None
    }
    files["jobs-file.schema.json"] = json.dumps(described(JobsFile), indent=2, ensure_ascii=False) + "\n"
    files["asyncapi.yaml"] = yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=110)
    return files


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document: a channel per public topic, and who sends or receives on it."""
    public = [topic for topic in TOPICS.values() if topic.public]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "cm-streams",
            "version": VERSION,
            "description": "Topics between Kafka and Campaign Monitor. Keys are e-mail addresses unless stated, "
            "partitioned with murmur2 as the Java client does.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_identifier(topic.role): _channel(topic) for topic in public},
        "operations": {
            f"write_{_identifier(topic.role)}": {
                "action": "receive" if "upstream systems" in topic.writers else "send",
                "channel": {"$ref": f"#/channels/{_identifier(topic.role)}"},
                "summary": f"Written by: {topic.writer}.",
            }
            for topic in public
        },
        "components": {"messages": {_identifier(topic.role): _message(topic) for topic in public}},
    }


def write() -> None:
    """Write the generated files, and remove those that nothing generates any more."""
    GENERATED.mkdir(exist_ok=True)
    files = generated_files()
    for stale in GENERATED.iterdir():
        if stale.name not in {*files, BY_OTHERS}:
            stale.unlink()
    for name, text in files.items():
        (GENERATED / name).write_text(text, encoding="utf-8")


def _channel(topic: Topic) -> dict[str, Any]:
    kafka: dict[str, Any] = {"topic": topic.role, "topicConfiguration": {"cleanup.policy": [topic.cleanup]}}
    if topic.partitions is not None:
        kafka["partitions"] = topic.partitions
    if topic.retention_ms != FOREVER:
        kafka["topicConfiguration"]["retention.ms"] = topic.retention_ms
    return {
        "address": topic.role,
        "description": topic.doc,
        "messages": {"record": {"$ref": f"#/components/messages/{_identifier(topic.role)}"}},
        "bindings": {"kafka": kafka},
    }


def _message(topic: Topic) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": topic.role,
        "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}}},
    }
    if topic.model is not None:
        message["payload"] = {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./{topic.role}.schema.json"},
        }
    return message


def _identifier(role: str) -> str:
    return re.sub(r"\W", "_", role)


if __name__ == "__main__":
    write()

"""What is generated and committed is what the code generates now."""

import json

import jsonschema
import pytest
import yaml

from schemas import export
from schemas.topics import TOPICS
from streams import readme


def test_schemas_are_fresh():
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in export.GENERATED.iterdir()}
    assert on_disk.pop(export.BY_OTHERS) == readme.openapi(), "run: python -m streams.readme"
    assert on_disk == export.generated_files(), "run: python -m schemas.export"


@pytest.mark.parametrize("document", readme.TABLES, ids=lambda document: document.name)
def test_tables_of_documents_are_fresh(document):
    assert document.read_text(encoding="utf-8") == readme.filled(document), "run: python -m streams.readme"


@pytest.mark.parametrize("topic", [t for t in TOPICS.values() if t.model], ids=lambda t: t.role)
def test_json_schemas_are_valid_and_document_each_topic(topic):
    schema = json.loads((export.GENERATED / f"{topic.role}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)


def test_asyncapi_has_a_channel_for_each_public_topic():
    document = yaml.safe_load((export.GENERATED / "asyncapi.yaml").read_text(encoding="utf-8"))
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert document["asyncapi"].startswith("3.")
    assert addresses == {topic.role for topic in TOPICS.values() if topic.public}
    for channel in document["channels"].values():
        for message in channel["messages"].values():
            name = message["$ref"].rsplit("/", 1)[1]
            assert name in document["components"]["messages"]

"""Read one of Concord's topics to its end from Python, committed records only, decoded through the schema registry.

    pip install -r requirements.txt
    python read.py --brokers localhost:9092 --registry http://localhost:8081 kpi.writeback | jq .value

Each line printed is one record: partition, offset, key, value.
"""

import argparse
import json
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext


def plain(value):
    """What JSON has no word for: bytes as hex, times in ISO 8601."""
    return value.hex() if isinstance(value, bytes) else value.isoformat()


def main() -> int:
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--brokers", required=True)
    args.add_argument("--registry", required=True)
    args.add_argument("topic")
    args = args.parse_args()

    deserialize = AvroDeserializer(SchemaRegistryClient({"url": args.registry}))
    consumer = Consumer(
        {
            "bootstrap.servers": args.brokers,
            "group.id": "python-example",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
        }
    )
    partitions = consumer.list_topics(args.topic, timeout=30).topics[args.topic].partitions
    left = {}
    for n in partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(args.topic, n), timeout=30)
        if high > low:
            left[n] = high
    consumer.assign([TopicPartition(args.topic, n, OFFSET_BEGINNING) for n in left])
    while left:
        message = consumer.poll(0.2)
        if message is not None:
            if message.error():
                raise KafkaException(message.error())
            value = deserialize(message.value(), SerializationContext(args.topic, MessageField.VALUE))
            record = {"partition": message.partition(), "offset": message.offset(), "key": (message.key() or b"").decode(), "value": value}
            print(json.dumps(record, default=plain))
        # The position passes the markers of transactions, which are no records.
        for at in consumer.position([TopicPartition(args.topic, n) for n in left]):
            if at.offset >= left[at.partition]:
                del left[at.partition]
    consumer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

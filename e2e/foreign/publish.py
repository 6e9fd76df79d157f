"""Publish screening events to Concord from Python, as Avro through the schema registry.

    pip install -r requirements.txt
    python publish.py --brokers localhost:9092 --registry http://localhost:8081 --applications gh-main/265277,gh-main/265278

Each line printed is where one event stands: topic, partition, offset, key, id.
"""

import argparse
import json
import sys
import time

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC = "screening.events"


def main() -> int:
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--brokers", required=True)
    args.add_argument("--registry", required=True)
    args.add_argument("--applications", required=True, help="application ids, <ats instance>/<native id>, comma-separated")
    args.add_argument("--each", type=int, default=1, help="events of each application")
    # librdkafka's own default is another hash than Java's: a record would land on another partition than its key's.
    args.add_argument("--partitioner", default="murmur2_random")
    args = args.parse_args()

    registry = SchemaRegistryClient({"url": args.registry})
    # The schema is Concord's: take the one that is registered, never register another.
    schema = registry.get_latest_version(f"{TOPIC}-value").schema.schema_str
    serialize = AvroSerializer(registry, schema, conf={"auto.register.schemas": False, "use.latest.version": True})
    producer = Producer(
        {
            "bootstrap.servers": args.brokers,
            "partitioner": args.partitioner,
            "enable.idempotence": True,
            "linger.ms": 5,
        }
    )
    failed = 0

    def report(err, msg, event_id):
        nonlocal failed
        if err is not None:
            failed += 1
            print(f"{event_id}: {err}", file=sys.stderr)
            return
        where = {"topic": msg.topic(), "partition": msg.partition(), "offset": msg.offset()}
        print(json.dumps({**where, "key": msg.key().decode(), "id": event_id}))

    for application in args.applications.split(","):
        for n in range(args.each):
            event = {
                "id": f"{application}/invited/{n}",  # the same event again has the same id
                "source": "python-example",
                "type": "screening.invited",
                "system": "python-example",
                "occurred_at": int(time.time() * 1_000_000),
                "application_id": application,
                "order_id": f"{application}/order/{n}",
                "attempt": 1,
            }
            value = serialize(event, SerializationContext(TOPIC, MessageField.VALUE))
            producer.produce(
                TOPIC,
                key=application,
                value=value,
                on_delivery=lambda err, msg, event_id=event["id"]: report(err, msg, event_id),
            )
            producer.poll(0)
    failed += producer.flush(60)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

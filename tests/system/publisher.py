"""Publishes messages as a backend in Python does, one REQ request each:
publisher.py ENDPOINT CHANNEL[:RESOURCE] JSON... Prints each reply as a line of JSON."""
import json
import sys

import msgpack
import zmq

endpoint, address, *payloads = sys.argv[1:]
channel, _, resource = address.partition(":")
broker = zmq.Context().socket(zmq.REQ)
broker.connect(endpoint)
for number, payload in enumerate(payloads, 1):
    request = {"op": "publish", "id": number, "channel": channel, "payload": json.loads(payload),
               "publisher": "python"}
    if resource:
        request["resource"] = resource
    broker.send(msgpack.packb(request))
    print(json.dumps(msgpack.unpackb(broker.recv())), flush=True)

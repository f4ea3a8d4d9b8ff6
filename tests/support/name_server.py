"""Name servers of a test: each argument is ADDRESS=MODE, where MODE is one of

  answers  from the table below, over UDP and TCP
  silent   takes queries and never answers
  refuses  answers REFUSED
  loses    answers from the table, but not the first query for each record

Prints a line once all listen.
"""

import ipaddress
import selectors
import socket
import struct
import sys

A, CNAME, AAAA = 1, 5, 28
NAMES = {
    "one.test": {A: ["127.0.0.5"]},
    "both.test": {A: ["127.0.0.5"], AAAA: ["::1"]},
    "six.test": {AAAA: ["::1"]},
    "many.test": {A: [f"127.0.1.{number}" for number in range(1, 101)]},
    "short.inner.test": {A: ["127.0.0.6"]},
    "one.test.inner.test": {A: ["127.0.0.7"]},
    "two.dots.test": {A: ["127.0.0.8"]},
    "alias.test": {CNAME: ["one.test"]},
    "none.test": {},
}
REFUSED, NO_NAME = 5, 3
MOST_OVER_UDP = 512


def name_in(query):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels).lower(), at + 1


def encoded(name):
    labels = (bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"".join(labels) + b"\0"


def record(name, kind, value):
    data = encoded(value) if kind == CNAME else ipaddress.ip_address(value).packed
    return encoded(name) + struct.pack("!HHIH", kind, 1, 60, len(data)) + data


def answer(query, refuses=False):
    name, end = name_in(query)
    kind = struct.unpack("!H", query[end:end + 2])[0]
    code = REFUSED if refuses else 0 if name in NAMES else NO_NAME
    records, known = [], {} if code else NAMES[name]
    for alias in known.get(CNAME, []):
        records.append(record(name, CNAME, alias))
        name, known = alias, NAMES[alias]
    records += [record(name, kind, value) for value in known.get(kind, [])]
    head = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0)
    return head + query[12:end + 4] + b"".join(records)


def cut(reply):
    """A reply that is too long for a datagram: without its records, marked as truncated."""
    if len(reply) <= MOST_OVER_UDP:
        return reply
    _, end = name_in(reply)
    return reply[:2] + struct.pack("!HHHHH", 0x8380, 1, 0, 0, 0) + reply[12:end + 4]


def serve_stream(listener):
    client, _ = listener.accept()
    with client, client.makefile("rwb") as stream:
        length = stream.read(2)
        while len(length) == 2:
            reply = answer(stream.read(struct.unpack("!H", length)[0]))
            stream.write(struct.pack("!H", len(reply)) + reply)
            stream.flush()
            length = stream.read(2)


def main():
    waiting = selectors.DefaultSelector()
    lost = set()
    for word in sys.argv[1:]:
        address, mode = word.split("=")
        # This finds the number of the interface in an address such as fe80::1%eth0.
        family, _, _, _, place = socket.getaddrinfo(address, 53, type=socket.SOCK_DGRAM)[0]
        datagrams = socket.socket(family, socket.SOCK_DGRAM)
        datagrams.bind(place)
        waiting.register(datagrams, selectors.EVENT_READ, mode)
        if mode == "answers":
            listener = socket.create_server(place, family=family)
            waiting.register(listener, selectors.EVENT_READ, "stream")
    print("ready", flush=True)
    while True:
        for key, _ in waiting.select():
            if key.data == "stream":
                serve_stream(key.fileobj)
                continue
            query, client = key.fileobj.recvfrom(4096)
            # All but the number of the query, which differs each time.
            is_first = query[2:] not in lost
            lost.add(query[2:])
            if key.data == "answers" or (key.data == "loses" and not is_first):
                key.fileobj.sendto(cut(answer(query)), client)
            elif key.data == "refuses":
                key.fileobj.sendto(answer(query, refuses=True), client)


main()

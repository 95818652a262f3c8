#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A peer of the push protocol, from docs/protocol.md alone: honest, broken and hostile.

push_peer.py HOST:PORT WHAT [FILE...]; prints one word or two for each answer.
"""

import socket
import struct
import sys
import time

GREETING, ANSWER = 96, 64
OUTCOMES = ("stored", "held", "refused", "unstored", "broken")
REASONS = ("ok", "truncated", "oversized", "not_segment", "version", "stream", "signature", "header",
           "record", "kind", "gap", "fork", "old", "time", "io", "apply")


def connect(address):
    host, port = address.rsplit(":", 1)
    peer = socket.create_connection((host.strip("[]"), int(port)), timeout=30)
    greeting = take(peer, GREETING)
    if greeting is None or greeting[:8] != b"PLPUSH1\n":
        raise SystemExit(f"no greeting: {greeting}")
    return peer, greeting


def take(peer, size):
    data = b""
    try:
        while len(data) < size:
            more = peer.recv(size - len(data))
            if not more:
                return None
            data += more
    except ConnectionError:
        return None
    return data


def answer(peer):
    data = take(peer, ANSWER)
    return "closed" if data is None else f"{OUTCOMES[data[0]]} {REASONS[data[1]]}"


def frame(segment, size=None):
    return b"PLF1" + struct.pack("<I", len(segment) if size is None else size) + segment


def flipped(segment, at):
    return segment[:at] + bytes([segment[at] ^ 1]) + segment[at + 1:]


def bad(what, segment):
    return {
        "forged": lambda: frame(flipped(segment, len(segment) - 1)),
        "truncated": lambda: frame(segment[:-16]),
        "size-lies": lambda: frame(segment, len(segment) + 16) + bytes(16),
        "oversized-frame": lambda: frame(b"", 1 << 30),
        "garbage": lambda: b"GET / HTTP/1.1\r\nHost: passline\r\n\r\n",
        "other-stream": lambda: frame(flipped(segment, 16)),
    }[what]()


def one_answer(address, data):
    peer, _ = connect(address)
    peer.sendall(data)
    print(answer(peer))


def half_close(address, segments):
    peer, _ = connect(address)
    peer.sendall(b"".join(frame(segment) for segment in segments))
    peer.shutdown(socket.SHUT_WR)
    print(" ".join(answer(peer) for _ in segments))


def slow(address, segment):
    """A byte now and then, until it is closed."""
    peer, _ = connect(address)
    peer.settimeout(0.5)
    for byte in frame(segment):
        try:
            peer.sendall(bytes([byte]))
            if peer.recv(1) == b"":
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    print("closed")


def crowd(address, count, seconds):
    """So many connections that say nothing, renewed whenever they are closed."""
    host, port = address.rsplit(":", 1)
    peers, end = [], time.monotonic() + seconds
    print("here", flush=True)
    while time.monotonic() < end:
        while len(peers) < count:
            peer = socket.socket()
            peer.setblocking(False)
            peer.connect_ex((host, int(port)))
            peers.append(peer)
        for peer in peers[:]:
            try:
                if peer.recv(4096) == b"":
                    raise ConnectionError
            except BlockingIOError:
                continue
            except OSError:
                peer.close()
                peers.remove(peer)
        time.sleep(0.05)


def main():
    address, what, *rest = sys.argv[1:]
    if what == "crowd":
        crowd(address, int(rest[0]), float(rest[1]))
        return
    segments = []
    for path in rest:
        with open(path, "rb") as file:
            segments.append(file.read())
    if what == "send":
        one_answer(address, frame(segments[0]))
    elif what == "half-close":
        half_close(address, segments)
    elif what == "slow":
        slow(address, segments[0])
    else:
        one_answer(address, bad(what, segments[0]))


if __name__ == "__main__":
    main()

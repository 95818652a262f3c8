#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Sends frames of one kind to an appliance and checks, by its telemetry, what became of them.

A bad kind names the one drop reason that each of its frames must be counted under; nothing may come
back. Of a good kind each frame is answered by one, on the same VLAN. Either way rx_pkts =
answered + sum of drops must hold before and after.
"""

import argparse
import json
import random
import socket
import struct
import sys
import time

PORT = 4717
ETH_ALL = 0x0003


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Link:
    """The two ends: what a good frame from us to the appliance carries."""

    def __init__(self, args):
        self.mac = bytes.fromhex(args.mac.replace(":", ""))
        self.own = bytes.fromhex("020000000099")
        self.ip4 = socket.inet_aton(args.ip4)
        self.own4 = socket.inet_aton(args.own4)
        self.ip6 = socket.inet_pton(socket.AF_INET6, args.ip6)
        self.own6 = socket.inet_pton(socket.AF_INET6, args.own6)


def eth(link, payload, ethertype, dst=None, src=None):
    return (dst or link.mac) + (src or link.own) + struct.pack("!H", ethertype) + payload


def ip4(link, payload, proto=17, src=None, dst=None, ihl=5, frag=0, total=None, bad_sum=False,
        version=4, options=b""):
    src, dst = src or link.own4, dst or link.ip4
    total = len(payload) + 20 + len(options) if total is None else total
    head = struct.pack("!BBHHHBBH4s4s", version << 4 | ihl, 0, total, 1, frag, 64, proto, 0, src,
                       dst) + options
    value = checksum(head) ^ (0x5555 if bad_sum else 0)
    return head[:10] + struct.pack("!H", value) + head[12:] + payload


def ip6(link, payload, proto=17, src=None, dst=None, hops=64, size=None):
    src, dst = src or link.own6, dst or link.ip6
    size = len(payload) if size is None else size
    return struct.pack("!IHBB16s16s", 6 << 28, size, proto, hops, src, dst) + payload


def pseudo(link, proto, size, v6):
    if v6:
        return link.own6 + link.ip6 + struct.pack("!II", size, proto)
    return link.own4 + link.ip4 + struct.pack("!BBH", 0, proto, size)


def udp(link, payload, v6=False, sport=5555, dport=PORT, size=None, bad_sum=False, no_sum=False):
    size = len(payload) + 8 if size is None else size
    head = struct.pack("!HHHH", sport, dport, size, 0)
    value = checksum(pseudo(link, 17, size, v6) + head + payload) or 0xFFFF
    value ^= 0x5555 if bad_sum else 0
    return head[:6] + struct.pack("!H", 0 if no_sum else value) + payload


def icmp4(kind=8, code=0, bad_sum=False):
    body = struct.pack("!BBHHH", kind, code, 0, 1, 1) + b"x" * 32
    value = checksum(body) ^ (0x5555 if bad_sum else 0)
    return body[:2] + struct.pack("!H", value) + body[4:]


def icmp6(link, kind, rest, src=None, dst=None):
    body = struct.pack("!BBH", kind, 0, 0) + rest
    whole = (src or link.own6) + (dst or link.ip6) + struct.pack("!II", len(body), 58) + body
    return body[:2] + struct.pack("!H", checksum(whole)) + body[4:]


def solicitation(link, target=None, hops=255, source_option=True, src=None):
    rest = bytes(4) + (target or link.ip6)
    rest += b"\1\1" + link.own if source_option else b""
    group = bytes.fromhex("ff0200000000000000000001ff") + link.ip6[13:]
    payload = icmp6(link, 135, rest, src=src, dst=group)
    return eth(link, ip6(link, payload, 58, src=src, dst=group, hops=hops), 0x86DD,
               dst=b"\x33\x33" + group[12:])


def arp(link, op=1, target=None, sender=None):
    body = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, op, link.own, sender or link.own4,
                       bytes(6), target or link.ip4)
    return eth(link, body, 0x0806, dst=b"\xff" * 6)


def request(gateway_id=1, scans=1, version=1, kind=1, size=None):
    """A request whose seal is not right."""
    size = 64 + 32 * scans if size is None else size
    head = struct.pack("<BBBBIQ", version, kind, 0, 0, gateway_id, random.getrandbits(63))
    return (head + random.randbytes(max(size, 16) - 16))[:size]


def datagram(link, payload, **more):
    return eth(link, ip4(link, udp(link, payload, **more)), 0x0800)


def datagram6(link, payload, **more):
    return eth(link, ip6(link, udp(link, payload, v6=True, **more)), 0x86DD)


def tagged(frame, tci):
    return frame[:12] + struct.pack("!HH", 0x8100, tci) + frame[12:]


def a4(text):
    return socket.inet_aton(text)


def a6(text):
    return socket.inet_pton(socket.AF_INET6, text)


def kinds(link):
    """name: (drop reason, frame)"""
    ok = udp(link, request())
    ok6 = udp(link, request(), v6=True)
    both = b"\xff" * 6
    return {
        # Ethernet
        "source-broadcast": ("eth_source", eth(link, ip4(link, ok), 0x0800, src=both)),
        "source-multicast": ("eth_source",
                             eth(link, ip4(link, ok), 0x0800, src=b"\x01" + link.own[1:])),
        "source-ours": ("eth_source", eth(link, ip4(link, ok), 0x0800, src=link.mac)),
        "to-another-mac": ("eth_dest",
                           eth(link, ip4(link, ok), 0x0800, dst=bytes.fromhex("020000000001"))),
        "datagram-to-all": ("eth_dest", eth(link, ip4(link, ok), 0x0800, dst=both)),
        "ethertype": ("eth_type", eth(link, bytes(50), 0x88B5)),
        "vlan-tag": ("vlan", eth(link, struct.pack("!HH", 9, 0x0800) + ip4(link, ok), 0x8100)),
        "runt-frame": ("frame_runt", eth(link, b"\x45" + bytes(6), 0x0800)),
        # ARP
        "arp-for-another": ("arp", arp(link, target=a4("10.77.0.200"))),
        "arp-reply": ("arp", arp(link, op=2)),
        "arp-in-our-name": ("arp", arp(link, sender=link.ip4)),
        # IPv4
        "cut-short": ("ip_header", eth(link, ip4(link, ok)[:-9], 0x0800)),
        "ip-version": ("ip_header", eth(link, ip4(link, ok, version=5), 0x0800)),
        "ip-checksum": ("ip_checksum", eth(link, ip4(link, ok, bad_sum=True), 0x0800)),
        "ip-options": ("ip_options", eth(link, ip4(link, ok, ihl=6, options=b"\x94\4\0\0"), 0x0800)),
        "first-fragment": ("ip_fragment", eth(link, ip4(link, ok, frag=0x2000), 0x0800)),
        "last-fragment": ("ip_fragment", eth(link, ip4(link, ok, frag=0x0010), 0x0800)),
        "from-broadcast": ("ip_source", eth(link, ip4(link, ok, src=a4("255.255.255.255")), 0x0800)),
        "from-subnet-broadcast": ("ip_source",
                                  eth(link, ip4(link, ok, src=a4("10.77.0.255")), 0x0800)),
        "from-multicast": ("ip_source", eth(link, ip4(link, ok, src=a4("224.0.0.5")), 0x0800)),
        "from-loopback": ("ip_source", eth(link, ip4(link, ok, src=a4("127.0.0.1")), 0x0800)),
        "from-nobody": ("ip_source", eth(link, ip4(link, ok, src=a4("0.0.0.0")), 0x0800)),
        "from-us": ("ip_source", eth(link, ip4(link, ok, src=link.ip4), 0x0800)),
        "to-another-ip": ("ip_dest", eth(link, ip4(link, ok, dst=a4("10.77.0.200")), 0x0800)),
        "ping-to-broadcast": ("ip_dest",
                              eth(link, ip4(link, icmp4(), 1, dst=a4("10.77.0.255")), 0x0800)),
        "tcp": ("ip_proto", eth(link, ip4(link, bytes(20), 6), 0x0800)),
        "icmp-checksum": ("icmp", eth(link, ip4(link, icmp4(bad_sum=True), 1), 0x0800)),
        "icmp-redirect": ("icmp", eth(link, ip4(link, icmp4(kind=5), 1), 0x0800)),
        # IPv6
        "ip6-cut-short": ("ip_header", eth(link, ip6(link, ok6)[:-9], 0x86DD)),
        "ip6-extension": ("ip_options", eth(link, ip6(link, b"\x11\0" + bytes(6) + ok6, 0), 0x86DD)),
        "ip6-fragment": ("ip_fragment", eth(link, ip6(link, b"\x11\0" + bytes(6) + ok6, 44), 0x86DD)),
        "ip6-from-multicast": ("ip_source", eth(link, ip6(link, ok6, src=a6("ff02::1")), 0x86DD)),
        "ip6-from-loopback": ("ip_source", eth(link, ip6(link, ok6, src=a6("::1")), 0x86DD)),
        "solicited-from-afar": ("icmp", solicitation(link, hops=64)),
        "solicited-another": ("icmp", solicitation(link, target=a6("fd77::1:0:1"))),
        # UDP
        "udp-size": ("udp_header", datagram(link, request(), size=500)),
        "udp-checksum": ("udp_checksum", datagram(link, request(), bad_sum=True)),
        "udp6-checksum": ("udp_checksum", datagram6(link, request(), bad_sum=True)),
        "udp6-no-checksum": ("udp_checksum", datagram6(link, request(), no_sum=True)),
        "udp-port": ("udp_port", datagram(link, request(), dport=PORT + 1)),
        "udp-from-port-0": ("udp_port", datagram(link, request(), sport=0)),
        # Datagrams
        "empty": ("runt", datagram(link, b"")),
        "truncated": ("runt", datagram(link, request(size=63))),
        "oversized": ("oversized", datagram(link, request(scans=43) + b"x")),
        "not-a-request": ("not_request", datagram(link, request(kind=2))),
        "unknown-gateway": ("no_gateway", datagram(link, request(gateway_id=999))),
        "wrong-key": ("bad_seal", datagram(link, request())),
        "wrong-key-no-checksum": ("bad_seal", datagram(link, request(), no_sum=True)),
        "wrong-key-ip6": ("bad_seal", datagram6(link, request())),
        "wrong-version-wrong-key": ("bad_seal", datagram(link, request(version=9))),
        "zero-scans-wrong-key": ("bad_seal", datagram(link, request(scans=0))),
    }


def good_kinds(link):
    """name: (what the answer must contain, frame)"""
    echo6 = icmp6(link, 128, struct.pack("!HH", 1, 1) + b"x" * 32)
    return {
        "arp": (b"\0\2" + link.mac + link.ip4 + link.own + link.own4, arp(link)),
        "ping": (link.ip4 + link.own4 + b"\0\0", eth(link, ip4(link, icmp4(), 1), 0x0800)),
        "ping6": (link.ip6 + link.own6 + b"\x81\0", eth(link, ip6(link, echo6, 58), 0x86DD)),
        "solicited": (b"\x60\0\0\0" + link.ip6 + b"\2\1" + link.mac, solicitation(link)),
        "probed": (b"\x20\0\0\0" + link.ip6 + b"\2\1" + link.mac,
                   solicitation(link, source_option=False, src=bytes(16))),
    }


class Telemetry:
    """DPDK's telemetry socket, version 2."""

    def __init__(self, prefix):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(f"/var/run/dpdk/{prefix}/dpdk_telemetry.v2")
        self.size = json.loads(self.socket.recv(1024))["max_output_len"]

    def ask(self, command):
        self.socket.send(command.encode())
        return json.loads(self.socket.recv(self.size))[command]

    def drops(self):
        """All counts, checked against each other."""
        counts = self.ask("/passline/drops")
        reasons = {k: v for k, v in counts.items() if k not in ("rx_pkts", "answered", "dropped")}
        if sum(reasons.values()) != counts["dropped"]:
            sys.exit(f"dropped is not the sum of its reasons: {counts}")
        if counts["rx_pkts"] != counts["answered"] + counts["dropped"]:
            sys.exit(f"rx_pkts is not answered + dropped: {counts}")
        return counts


SOL_PACKET, PACKET_AUXDATA, VLAN_VALID = 263, 8, 1 << 4


class Capture:
    """What comes from the appliance; the kernel's own frames do not count."""

    def __init__(self, interface, mac):
        self.mac = mac
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_ALL))
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.bind((interface, ETH_ALL))
        self.socket.setblocking(False)

    def send(self, frame):
        self.socket.send(frame)

    def frames(self):
        """[(VLAN tag or None, frame without it)]: the kernel takes the tag out of the frame."""
        found = []
        while True:
            try:
                frame, extra, _, where = self.socket.recvmsg(2048, 256)
            except BlockingIOError:
                return found
            if frame[6:12] != self.mac or where[2] == socket.PACKET_OUTGOING:
                continue
            tci = None
            for level, kind, data in extra:
                if level == SOL_PACKET and kind == PACKET_AUXDATA:
                    status, _, _, _, _, tag = struct.unpack("=IIIHHH", data[:18])
                    tci = tag if status & VLAN_VALID else None
            found.append((tci, frame))


def exchange(args, name, frame, counter):
    """Send frames, wait until counter shows them; what changed, and what came back."""
    link = Link(args)
    telemetry = Telemetry(args.prefix)
    capture = Capture(args.interface, link.mac)
    before = telemetry.drops()
    for _ in range(args.count):
        capture.send(frame)
    deadline = time.monotonic() + 3
    while True:
        after = telemetry.drops()
        if after[counter] - before[counter] >= args.count or time.monotonic() > deadline:
            break
        time.sleep(0.002)
    time.sleep(0.01)
    return {k: after[k] - before[k] for k in after if after[k] != before[k]}, capture.frames()


def check_bad(args, name, reason, frame):
    changed, answers = exchange(args, name, frame, reason)
    if changed != {"rx_pkts": args.count, "dropped": args.count, reason: args.count}:
        sys.exit(f"{name}: {args.count} x {reason} expected, got {changed}")
    if answers:
        sys.exit(f"{name}: {len(answers)} frame(s) came back, the first: {answers[0][1].hex()}")


def check_good(args, name, part, frame):
    changed, answers = exchange(args, name, frame, "answered")
    if changed != {"rx_pkts": args.count, "answered": args.count}:
        sys.exit(f"{name}: {args.count} answers expected, got {changed}")
    if len(answers) != args.count:
        sys.exit(f"{name}: {args.count} answers expected, {len(answers)} came")
    for tci, answer in answers:
        if part not in answer:
            sys.exit(f"{name}: no {part.hex()} in {answer.hex()}")
        if tci != args.vlan:
            sys.exit(f"{name}: VLAN tag {args.vlan} expected, got {tci}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the bad kinds and stop")
    parser.add_argument("--list-good", action="store_true", help="print the good kinds and stop")
    parser.add_argument("--interface", default="veth0")
    parser.add_argument("--prefix", default="rte", help="the appliance's --file-prefix")
    parser.add_argument("--mac", default="02:00:00:00:00:01", help="the appliance's")
    parser.add_argument("--ip4", default="10.77.0.1", help="the appliance's")
    parser.add_argument("--ip6", default="fd77::1", help="the appliance's")
    parser.add_argument("--own4", default="10.77.0.2")
    parser.add_argument("--own6", default="fd77::2")
    parser.add_argument("--vlan", type=int, help="tag every frame with it")
    parser.add_argument("--drop", help="expect this drop reason, whatever the kind")
    parser.add_argument("--count", type=int, default=5, help="frames of each kind")
    parser.add_argument("kind", nargs="*")
    args = parser.parse_args()
    link = Link(args)
    random.seed(1)
    bad, good = kinds(link), good_kinds(link)
    if args.list or args.list_good:
        print("\n".join(bad if args.list else good))
        return
    for name in args.kind:
        what, frame = bad[name] if name in bad else good[name]
        if args.vlan is not None:
            frame = tagged(frame, args.vlan)
        if args.drop or name in bad:
            check_bad(args, name, args.drop or what, frame)
        else:
            check_good(args, name, what, frame)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A gateway that scans certificates of a registry and knows what each verdict must be.

What is right comes from the authority's own export (`passline-authority export`), its master keys
and the rules that are built in (docs/configuration.md, "Examples"); nothing is asked of the
appliance but verdicts.

    nation_client.py check --to ADDR --key GATEWAY.key --registry EXPORT.csv --tokens DIR
    nation_client.py watch ...     until TERM or --seconds; counts verdicts by name

check prints JSON, and exits with 1 if a verdict is wrong or missing.
"""

import argparse
import collections
import csv
import ctypes
import datetime
import json
import pathlib
import random
import signal
import struct
import sys
import time

import protocol_client as pc

KINDS = {'primary': 1, 'booster': 2, 'recovered': 3, 'pcr-negative': 4, 'medical-exempt': 5,
         'under-age': 6}
# Days after the event on which a certificate holds, by the built-in rules.
RULES = {'primary': (14, 180), 'booster': (0, None), 'recovered': (0, 180),
         'pcr-negative': (0, 2), 'medical-exempt': (0, None), 'under-age': (None, -1)}
SCANS = pc.SCAN_MAX
WINDOW = 8  # datagrams under way
TRIES = 40
TRY_S = 0.25

# The reference is protocol_client's; this is the same function from libsodium, for thousands.
_sodium = ctypes.CDLL('libsodium.so.23')


def siphash128(key, message):
    out = ctypes.create_string_buffer(16)
    _sodium.crypto_shorthash_siphashx24(out, message, ctypes.c_ulonglong(len(message)), key)
    return out.raw


assert siphash128(bytes(range(16)), b'abc') == pc.siphash128(bytes(range(16)), b'abc')


class Certificate:
    """One line of the export, and the key of its wallet."""

    def __init__(self, row, masters):
        self.cert_id = int(row['id'], 16)
        self.kind = row['kind']
        self.event = datetime.date.fromisoformat(row['event_date'])
        self.revoked = row['revoked'] == '1'
        self.suspended = row['suspended'] == '1'
        self.key = siphash128(masters[int(row['key_epoch'])],
                              struct.pack('<QI', self.cert_id, int(row['generation'])) + b'PLk1')

    def verdict(self, today):
        """The name of what it must be."""
        if self.revoked:
            return 'revoked'
        if self.suspended:
            return 'suspended'
        first, last = RULES[self.kind]
        age = (today - self.event).days
        if first is not None and age < first:
            return 'not_yet_valid'
        if last is not None and age > last:
            return 'expired'
        return 'pass'

    def token(self, shown_at):
        tag = siphash128(self.key, struct.pack('<QI', self.cert_id, shown_at) + b'PLt1')[:12]
        return pc.Token(self.cert_id, shown_at, tag)


def read_masters(directory):
    return {int(path.stem): pc.read_token_key(path) for path in pathlib.Path(directory).glob('*.key')}


def read_registry(path, masters):
    with open(path, encoding='ascii', newline='') as file:
        return [Certificate(row, masters) for row in csv.DictReader(file)]


def today():
    """The site's time zone is UTC in the tests."""
    return datetime.datetime.now(datetime.timezone.utc).date()


class Gateway:
    """Scans many at once; what gets no answer is sent again, as the same scans."""

    def __init__(self, address, key, venue_id=pc.venue(1, 1)):
        self.address = address
        self.key = key
        self.venue_id = venue_id
        self.socket = pc._socket_to(address)
        self.counter = time.time_ns()
        self.lost = 0
        self.late = 0

    def _send(self, scans, attempt):
        self.counter += 1
        datagram = pc.seal_request(self.key, self.counter, scans, time.time_ns() // 1000000,
                                   min(attempt, 0xffff))
        try:
            self.socket.send(datagram)
        except OSError:  # nobody there just now: like a loss
            pass
        return self.counter

    def _receive(self, waiting, left):
        self.socket.settimeout(max(left, 0.001))
        try:
            return pc.open_reply(self.key, self.socket.recv(65536),
                                 {c: len(job[0]) for c, job in waiting.items()})
        except (TimeoutError, OSError):
            return None
        except pc.NotBelieved:
            self.late += 1
            return None

    def scan(self, tokens, tries=TRIES):
        """The verdicts of these tokens, in their order: names, or None where none came."""
        jobs = collections.deque()
        for at in range(0, len(tokens), SCANS):
            part = tokens[at:at + SCANS]
            jobs.append(([pc.Scan(t, self.venue_id, t.shown_at) for t in part], at, 0))
        verdicts = [None] * len(tokens)
        waiting = {}
        while jobs or waiting:
            while jobs and len(waiting) < WINDOW:
                scans, at, attempt = jobs.popleft()
                waiting[self._send(scans, attempt)] = (scans, at, attempt, time.monotonic() + TRY_S)
            reply = self._receive(waiting, min(j[3] for j in waiting.values()) - time.monotonic())
            if reply is not None:
                scans, at, *_ = waiting.pop(reply.request_counter)
                names = [reply.error.name] * len(scans) if reply.error else \
                        [v.name for v in reply.verdicts]
                verdicts[at:at + len(scans)] = names
            now = time.monotonic()
            for counter in [c for c, job in waiting.items() if job[3] <= now]:
                scans, at, attempt, _ = waiting.pop(counter)
                self.lost += 1
                if attempt + 1 < tries:
                    jobs.append((scans, at, attempt + 1))
        return verdicts

    def state(self):
        """One reply to an empty request, or None."""
        waiting = {self._send([], 0): ([],)}
        return self._receive(waiting, TRY_S)


UNKNOWN = {name for code, name in pc.VERDICTS.items() if code >= 0x20}


def compare(certificates, verdicts, day):
    """How the verdicts compare with what they must be. An UNKNOWN is never wrong, but counted."""
    tally = collections.Counter()
    wrong = []
    for certificate, got in zip(certificates, verdicts):
        want = certificate.verdict(day)
        if got is None:
            tally['unanswered'] += 1
        elif got == want:
            tally['right'] += 1
        elif got in UNKNOWN:
            tally['unknown'] += 1
            tally[f'unknown {got}'] += 1
        else:
            tally['wrong'] += 1
            wrong.append(f'{certificate.cert_id:#018x}: {got}, not {want}')
    return tally, wrong


def run_check(args, gateway, certificates):
    """Every certificate once, or a sample; and ids that nobody has."""
    if args.sample and args.sample < len(certificates):
        certificates = random.sample(certificates, args.sample)
    day = today()
    now = int(time.time())
    verdicts = gateway.scan([c.token(now) for c in certificates])
    tally, wrong = compare(certificates, verdicts, day)
    print(json.dumps({**tally, 'certificates': len(certificates), 'lost_datagrams': gateway.lost,
                      'examples': wrong[:5]}))
    return 1 if tally['wrong'] or tally['unanswered'] or tally['unknown'] else 0


def run_watch(args, gateway, certificates):
    """Fresh codes of certificates that pass, again and again."""
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    end = time.monotonic() + args.seconds
    day = today()
    passing = [c for c in certificates if c.verdict(day) == 'pass'] or certificates
    tally = collections.Counter()
    at = 0
    while not stop and time.monotonic() < end:
        part = [passing[(at + i) % len(passing)] for i in range(SCANS)]
        at += SCANS
        now = int(time.time())
        tally.update(name or 'unanswered' for name in gateway.scan([c.token(now) for c in part], 1))
    print(json.dumps(dict(tally)))
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('command', choices=['check', 'watch'])
    parser.add_argument('--to', required=True)
    parser.add_argument('--key', required=True, help="the gateway's key file")
    parser.add_argument('--registry', required=True, help='CSV by passline-authority export')
    parser.add_argument('--tokens', required=True, help='directory of master keys')
    parser.add_argument('--sample', type=int, default=0, help='check so many; 0: all')
    parser.add_argument('--seconds', type=float, default=3600, help='watch so long')
    args = parser.parse_args()
    certificates = read_registry(args.registry, read_masters(args.tokens))
    gateway = Gateway(pc.parse_address(args.to), pc.read_gateway_key(args.key))
    return {'check': run_check, 'watch': run_watch}[args.command](args, gateway, certificates)


if __name__ == '__main__':
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A gateway's client of the Passline protocol, written from docs/protocol.md and nothing else.

It shares no code with the rest of Passline, so where the two agree, the page is right and enough.
Section names in the docstrings are that page's. Beside what a gateway does it can do what one must
not: lie about the version, the time or the number of scans, and damage a datagram after sealing.

    protocol_client.py selftest docs/protocol.md
    protocol_client.py state --to 192.0.2.1 --key gateway.key
    protocol_client.py ask --to 192.0.2.1 --key gateway.key --qr PL1:... --venue 17:4711

As a module: Client(address, read_gateway_key(path)).ask([Scan(...)]).
"""

import argparse
import errno
import hashlib
import json
import re
import secrets
import socket
import struct
import sys
import time
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PORT = 4717
VERSION = 1
TYPE_REQUEST = 1
TYPE_REPLY = 2
SCAN_MAX = 43
FIXED_SIZE = 64  # of a request or a reply, without scans or verdicts
TAG_SIZE = 16  # GCM's

GROUPS = ('PASS', 'DENY', 'UNKNOWN')
STATES = ('serving', 'degraded', 'loading', 'draining')
FLAGS = ('loading', 'feed_old', 'clock', 'intake_stopped', 'table_full', 'waiver', 'busy',
         'draining')
KINDS = {1: 'primary series', 2: 'booster', 3: 'recovered', 4: 'negative PCR test',
         5: 'medical exemption', 6: 'under age'}
VERDICTS = {
    0x01: 'pass', 0x02: 'not_required',
    0x10: 'unknown_cert', 0x11: 'revoked', 0x12: 'suspended', 0x13: 'not_yet_valid',
    0x14: 'expired', 0x15: 'forged', 0x16: 'stale_qr', 0x17: 'future_qr', 0x18: 'replayed',
    0x19: 'not_accepted',
    0x20: 'loading', 0x21: 'feed_old', 0x22: 'clock', 0x23: 'busy', 0x24: 'version',
    0x25: 'malformed', 0x26: 'stale_request', 0x27: 'no_key', 0x28: 'unsure', 0x29: 'no_rule',
    0x30: 'no_answer',
}
NO_ANSWER = 0x30
VERDICT_AGAIN = 1

EXIT_NO_REPLY = 3
EXIT_USAGE = 64


# Algorithms


def _rotl(word, bits):
    return (word << bits | word >> 64 - bits) & 0xffffffffffffffff


def _sip_rounds(v, rounds):
    mask = 0xffffffffffffffff
    v0, v1, v2, v3 = v
    for _ in range(rounds):
        v0 = v0 + v1 & mask
        v2 = v2 + v3 & mask
        v1 = _rotl(v1, 13) ^ v0
        v3 = _rotl(v3, 16) ^ v2
        v0 = _rotl(v0, 32)
        v2 = v2 + v1 & mask
        v0 = v0 + v3 & mask
        v1 = _rotl(v1, 17) ^ v2
        v3 = _rotl(v3, 21) ^ v0
        v2 = _rotl(v2, 32)
    v[:] = v0, v1, v2, v3


def siphash128(key, message):
    """SipHash-2-4 with 128-bit output, which the page's head names."""
    k0, k1 = struct.unpack('<QQ', key)
    v = [k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d ^ 0xee,
         k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573]
    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) & 0xff])
    for (word,) in struct.iter_unpack('<Q', padded):
        v[3] ^= word
        _sip_rounds(v, 2)
        v[0] ^= word
    v[2] ^= 0xee
    _sip_rounds(v, 4)
    low = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xdd
    _sip_rounds(v, 4)
    return struct.pack('<QQ', low, v[0] ^ v[1] ^ v[2] ^ v[3])


def blake2b256(message, key=b''):
    """BLAKE2b with 32 bytes of output, keyed or not."""
    return hashlib.blake2b(message, digest_size=32, key=key).digest()


BASE45 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:'


def base45_encode(data):
    """RFC 9285, for an even number of bytes."""
    text = ''
    for (pair,) in struct.iter_unpack('>H', data):
        text += BASE45[pair % 45] + BASE45[pair // 45 % 45] + BASE45[pair // 2025]
    return text


def base45_decode(text):
    """RFC 9285, for whole groups of three characters. Raises ValueError."""
    if len(text) % 3:
        raise ValueError('base45 of an odd number of bytes')
    data = b''
    for i in range(0, len(text), 3):
        low, middle, high = (BASE45.index(char) for char in text[i:i + 3])
        pair = low + 45 * middle + 2025 * high
        if pair > 0xffff:
            raise ValueError(f'base45 group above 65535: {text[i:i + 3]}')
        data += pair.to_bytes(2, 'big')
    return data


# The token


@dataclass(frozen=True)
class Token:
    """Section "The token"."""
    cert_id: int
    shown_at: int
    tag: bytes

    def pack(self):
        return struct.pack('<QI12s', self.cert_id, self.shown_at, self.tag)


def cert_key(master, cert_id, generation):
    """Section "The token": the key that a wallet holds."""
    return siphash128(master, struct.pack('<QI', cert_id, generation) + b'PLk1')


def mint(key, cert_id, shown_at):
    """Section "The token": what a wallet with this cert_key shows at that second."""
    tag = siphash128(key, struct.pack('<QI', cert_id, shown_at) + b'PLt1')[:12]
    return Token(cert_id, shown_at, tag)


def token_text(token):
    """Section "The token", text form."""
    return 'PL1:' + base45_encode(token.pack())


def token_parse(text):
    """Section "The token", text form. Raises ValueError for what is not a token."""
    if len(text) != 40 or not text.startswith('PL1:'):
        raise ValueError('a token is PL1: and 36 characters of base45')
    return Token(*struct.unpack('<QI12s', base45_decode(text[4:])))


# Keys of a gateway


@dataclass(frozen=True)
class GatewayKey:
    """Section "Keys of a gateway": a root key and whose it is."""
    gateway_id: int
    epoch: int
    root: bytes = field(repr=False)


def _direction_key(key, direction):
    message = b'PL1-gateway' + struct.pack('<BBI', direction, key.epoch, key.gateway_id)
    return blake2b256(message, key.root)


def request_key(key):
    """Section "Keys of a gateway"."""
    return _direction_key(key, 1)


def reply_key(key):
    """Section "Keys of a gateway"."""
    return _direction_key(key, 2)


def _key_file(path, pattern):
    """The fields of a key file's one line."""
    with open(path, encoding='ascii') as file:
        match = re.fullmatch(pattern, file.read().strip())
    if not match:
        raise ValueError(f'{path}: not a file of the form {pattern}')
    return match.groups()


def read_gateway_key(path):
    """A gateway's key file: its id, the key's epoch, the root key."""
    gateway_id, epoch, root = _key_file(
        path, r'passline-gateway-key 1 (\d{1,10}) (\d{1,3}) ([0-9a-f]{64})')
    if int(gateway_id) > 0xffffffff or int(epoch) > 0xff:
        raise ValueError(f'{path}: gateway id or key epoch out of range')
    return GatewayKey(int(gateway_id), int(epoch), bytes.fromhex(root))


def read_token_key(path):
    """A token key file: the master key, without its epoch."""
    _, master = _key_file(path, r'passline-token-key 1 ([0-7]) ([0-9a-f]{32})')
    return bytes.fromhex(master)


# Request


@dataclass(frozen=True)
class Scan:
    """Section "Request", one scan."""
    token: Token
    venue_id: int
    scan_id: int

    def pack(self):
        return struct.pack('<QIII12s', self.token.cert_id, self.token.shown_at, self.venue_id,
                           self.scan_id, self.token.tag)


def venue(venue_class, number):
    """Section "Identifiers", venue_id."""
    return venue_class << 24 | number


def request_header(key, counter, version=VERSION):
    """Section "Request", bytes 0-15."""
    return struct.pack('<BBBxIQ', version, TYPE_REQUEST, key.epoch, key.gateway_id, counter)


def request_body(scans, sent_at_ms, attempt=0, scan_cnt=None):
    """Section "Request", the sealed body before sealing; scan_cnt is a lie unless None."""
    head = struct.pack('<QHH20x', sent_at_ms, len(scans) if scan_cnt is None else scan_cnt, attempt)
    return head + b''.join(scan.pack() for scan in scans)


def seal_request(key, counter, scans, sent_at_ms, attempt=0, version=VERSION, scan_cnt=None):
    """Section "Request": the whole datagram."""
    header = request_header(key, counter, version)
    body = request_body(scans, sent_at_ms, attempt, scan_cnt)
    return header + AESGCM(request_key(key)).encrypt(header[4:16], body, header)


def flip_bit(datagram, bit):
    """Damages a datagram: bit 0 is the lowest of byte 0. Raises ValueError beyond the end."""
    if not 0 <= bit < 8 * len(datagram):
        raise ValueError(f'no bit {bit} in {len(datagram)} bytes')
    damaged = bytearray(datagram)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def resize(datagram, size):
    """Damages a datagram: cuts it, or pads it with zeros."""
    return datagram[:size].ljust(size, b'\0')


# Reply


class NotBelieved(ValueError):
    """Section "Reply": a datagram that is no answer to what was asked."""


@dataclass(frozen=True)
class Verdict:
    """Section "Reply", verdict of scan i; and section "Verdicts"."""
    code: int
    kind: int = 0
    flags: int = 0

    @classmethod
    def unpack(cls, word):
        return cls(word & 0xff, word >> 8 & 0xff, word >> 16 & 0xff)

    @property
    def group(self):
        return min(self.code >> 4, 2)

    @property
    def name(self):
        return VERDICTS.get(self.code, f'code_{self.code:#04x}')

    def __str__(self):
        text = f'{GROUPS[self.group]} {self.name}'
        if self.kind:
            text += f', {KINDS.get(self.kind, self.kind)}'
        if self.flags & VERDICT_AGAIN:
            text += ', again'
        return text

    def as_dict(self):
        return {'code': self.code, 'group': GROUPS[self.group], 'name': self.name,
                'kind': KINDS.get(self.kind, self.kind) if self.kind else None,
                'flags': self.flags, 'again': bool(self.flags & VERDICT_AGAIN)}


@dataclass(frozen=True)
class Reply:
    """Section "Reply", opened; error is a verdict, or None."""
    state: int
    flags: int
    gateway_id: int
    appliance_id: int
    queue: int
    reply_counter: int
    request_counter: int
    now_ms: int
    as_of: int
    waiver_until: int
    retry_after_ms: int
    error: Verdict | None
    verdicts: tuple

    @property
    def state_name(self):
        return STATES[self.state] if self.state < len(STATES) else f'state_{self.state}'

    @property
    def flag_names(self):
        return [name for bit, name in enumerate(FLAGS) if self.flags >> bit & 1]

    @property
    def group(self):
        """The worst of the error's and the verdicts', 0 if there are none."""
        verdicts = self.verdicts + ((self.error,) if self.error else ())
        return max((verdict.group for verdict in verdicts), default=0)

    def as_dict(self):
        fields = dict(vars(self))
        fields['state'] = self.state_name
        fields['flags'] = self.flag_names
        fields['error'] = self.error.as_dict() if self.error else None
        fields['verdicts'] = [verdict.as_dict() for verdict in self.verdicts]
        return fields


def _unseal_reply(key, datagram):
    """Section "Reply": the header's fields and the sealed body."""
    if len(datagram) < FIXED_SIZE or (len(datagram) - FIXED_SIZE) % 4:
        raise NotBelieved(f'{len(datagram)} bytes')
    header = datagram[:20]
    version, type_, state, flags, gateway_id, sender, counter = struct.unpack('<BBBBIIQ', header)
    if (version, type_, gateway_id) != (VERSION, TYPE_REPLY, key.gateway_id):
        raise NotBelieved(f'version {version}, type {type_}, gateway {gateway_id}')
    try:
        body = AESGCM(reply_key(key)).decrypt(header[8:20], datagram[20:], header)
    except InvalidTag:
        raise NotBelieved('does not open') from None
    return (state, flags, gateway_id, sender >> 8, sender & 0xff, counter), body


def open_reply(key, datagram, waiting):
    """Section "Reply": opens and checks one. waiting: the scan count of every request counter that
    has no reply yet. Raises NotBelieved."""
    head, body = _unseal_reply(key, datagram)
    counter, *times, retry_after_ms, error, n = struct.unpack_from('<QQIIHBB', body)
    if counter not in waiting:
        raise NotBelieved(f'answers request {counter}')
    if n != (0 if error else waiting[counter]) or len(body) != 28 + 4 * n:
        raise NotBelieved(f'{n} verdicts in {len(datagram)} bytes, error {error:#04x}')
    verdicts = tuple(Verdict.unpack(word) for (word,) in struct.iter_unpack('<I', body[28:]))
    return Reply(*head, counter, *times, retry_after_ms, Verdict(error) if error else None,
                 verdicts)


# How a client behaves


def parse_address(text, port=PORT):
    """`ADDR`, `ADDR:PORT`, `[ADDR6]:PORT` or a bare IPv6 address."""
    match = re.fullmatch(r'\[(.*)\](?::(\d+))?|([^:]*):(\d+)', text)
    if not match:
        return text, port
    return match[1] or match[3], int(match[2] or match[4] or port)


def _socket_to(address):
    """A UDP socket that hears that address and port only, and fragments nothing."""
    family, kind, proto, _, where = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
    sock = socket.socket(family, kind, proto)
    # Linux: IP_MTU_DISCOVER or IPV6_MTU_DISCOVER, "do".
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, 23, 2)
    else:
        sock.setsockopt(socket.IPPROTO_IP, 10, 2)
    sock.connect(where)
    return sock


class Client:
    """A gateway that asks one appliance, one datagram at a time. Its counters start at the wall
    clock in nanoseconds and are not kept on disk: a wall clock that was set back repeats them."""

    def __init__(self, address, key, timeout=1.0):
        self.key = key
        self.timeout = timeout
        self.not_believed = []  # why, of each datagram that came and was passed over
        self._socket = _socket_to(address)
        self._counter = 0
        self._waiting = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._socket.close()

    def next_counter(self):
        """Section "Request", the counter: never twice."""
        self._counter = max(self._counter + 1, time.time_ns())
        return self._counter

    def ask(self, scans, attempt=0, sent_at_offset_ms=0, version=VERSION, scan_cnt=None,
            damage=None):
        """Sends the scans once and waits. Gives the Reply, or None if none came in time. damage is
        a function from the sealed datagram to the one that is sent."""
        counter = self.next_counter()
        sent_at_ms = time.time_ns() // 1000000 + sent_at_offset_ms & 0xffffffffffffffff
        datagram = seal_request(self.key, counter, scans, sent_at_ms, attempt, version, scan_cnt)
        self._waiting = {counter: len(scans)}
        self._send(damage(datagram) if damage else datagram)
        return self._wait()

    def _send(self, datagram):
        try:
            self._socket.send(datagram)
        except ConnectionRefusedError:  # of a datagram before; this one was not sent
            self._socket.send(datagram)

    def _wait(self):
        end = time.monotonic() + self.timeout
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                return open_reply(self.key, self._socket.recv(65536), self._waiting)
            except NotBelieved as why:
                self.not_believed.append(str(why))
            except ConnectionRefusedError:  # an ICMP error: anyone can send one
                self.not_believed.append('port unreachable')
            except TimeoutError:
                break
        return None


# The command line: ask and state


def _flip_and_resize(args):
    def damage(datagram):
        if args.flip_bit is not None:
            datagram = flip_bit(datagram, args.flip_bit)
        if args.raw_size is not None:
            datagram = resize(datagram, args.raw_size)
        return datagram
    return damage


def _tokens(args):
    """What --qr and --mint name, and nothing for `state`."""
    tokens = [token_parse(text) for text in args.qr]
    if args.mint:
        if not args.master:
            raise ValueError('--mint needs --master')
        master = read_token_key(args.master)
        shown_at = int(time.time()) + args.shown_at_offset & 0xffffffff
        tokens += [mint(cert_key(master, cert_id, generation), cert_id, shown_at)
                   for cert_id, generation in args.mint]
    return tokens


def _scans(args):
    """--count scans of the tokens in turn."""
    tokens = _tokens(args)
    count = len(tokens) if args.count is None else args.count
    if not tokens and args.command == 'ask':
        raise ValueError('ask needs --qr or --mint')
    first = secrets.randbits(32) if args.scan_id is None else args.scan_id
    return [Scan(tokens[i % len(tokens)], args.venue, first + i * args.scan_id_step & 0xffffffff)
            for i in range(count)]


def _print_text(scans, reply):
    for token in dict.fromkeys(scan.token for scan in scans):
        print(f'qr {token_text(token)}')
    if not reply:
        print(f'verdict {Verdict(NO_ANSWER)}')
        return
    print(f'state {reply.state_name}')
    print(f'flags {" ".join(reply.flag_names) or "none"}')
    for name in ('gateway_id', 'appliance_id', 'queue', 'reply_counter', 'request_counter',
                 'now_ms', 'as_of', 'waiver_until', 'retry_after_ms'):
        print(f'{name} {getattr(reply, name)}')
    print(f'error {reply.error or "none"}')
    for scan, verdict in zip(scans, reply.verdicts):
        print(f'scan {scan.scan_id} {verdict}')


def _print_json(scans, reply):
    sent = [{'qr': token_text(scan.token), 'venue_id': scan.venue_id, 'scan_id': scan.scan_id}
            for scan in scans]
    print(json.dumps({'scans': sent, 'reply': reply.as_dict() if reply else None}))


def run_ask(args):
    """The subcommands ask and state: one request, and what came of it."""
    scans = _scans(args)
    with Client(parse_address(args.to), read_gateway_key(args.key), args.timeout) as client:
        reply = client.ask(scans, args.attempt, args.sent_at_offset_ms, args.version,
                           args.lie_scan_count, _flip_and_resize(args))
    for why in client.not_believed:
        print(f'passed over: {why}', file=sys.stderr)
    (_print_json if args.json else _print_text)(scans, reply)
    return reply.group if reply else EXIT_NO_REPLY


# The command line: selftest

# What section "Test vectors" states in words.
VECTOR_MASTER = bytes(range(16))
VECTOR_ROOT = bytes(range(32))
VECTOR_CERT_ID = 0x0123456789abcdef
VECTOR_KEY = GatewayKey(gateway_id=7, epoch=1, root=VECTOR_ROOT)
VECTOR_COUNTER = 1639364400123456789
VECTOR_REPLY = Reply(
    state=0, flags=0, gateway_id=7, appliance_id=1, queue=0, reply_counter=1639364400000000001,
    request_counter=VECTOR_COUNTER, now_ms=1639364405003, as_of=1639360800, waiver_until=0,
    retry_after_ms=0, error=None, verdicts=(Verdict(code=0x01, kind=1),))


def seal_reply(key, reply):
    """Section "Reply", as the appliance makes it: header, body before sealing, datagram."""
    header = struct.pack('<BBBBIIQ', VERSION, TYPE_REPLY, reply.state, reply.flags,
                         reply.gateway_id, reply.appliance_id << 8 | reply.queue,
                         reply.reply_counter)
    body = struct.pack('<QQIIHBB', reply.request_counter, reply.now_ms, reply.as_of,
                       reply.waiver_until, reply.retry_after_ms,
                       reply.error.code if reply.error else 0, len(reply.verdicts))
    for verdict in reply.verdicts:
        body += struct.pack('<I', verdict.flags << 16 | verdict.kind << 8 | verdict.code)
    return header, body, header + AESGCM(reply_key(key)).encrypt(header[8:20], body, header)


def compute_vectors():
    """Section "Test vectors": every value there, from the inputs there."""
    wallet_key = cert_key(VECTOR_MASTER, VECTOR_CERT_ID, 2)
    token = mint(wallet_key, VECTOR_CERT_ID, 1639364400)
    scans = [Scan(token, venue(17, 4711), 99)]
    header = request_header(VECTOR_KEY, VECTOR_COUNTER)
    reply_header, reply_body, reply = seal_reply(VECTOR_KEY, VECTOR_REPLY)
    values = {
        'cert_key': wallet_key,
        'tag': token.tag,
        'token': token.pack(),
        'request_key': request_key(VECTOR_KEY),
        'reply_key': reply_key(VECTOR_KEY),
        'request_header': header,
        'request_nonce': header[4:16],
        'request_body': request_body(scans, 1639364405000),
        'request': seal_request(VECTOR_KEY, VECTOR_COUNTER, scans, 1639364405000),
        'reply_header': reply_header,
        'reply_nonce': reply_header[8:20],
        'reply_body': reply_body,
        'reply': reply,
    }
    return {name: value.hex() for name, value in values.items()} | {'text': token_text(token)}


def page_section(page, title):
    """The text of one section of the page, without those below it."""
    match = re.search(rf'^##+ {re.escape(title)}\n(.*?)(?=^#|\Z)', page, re.M | re.S)
    if not match:
        raise ValueError(f'the page has no section "{title}"')
    return match[1]


def stated_vectors(page):
    """Section "Test vectors": the lines `name = value`."""
    return dict(re.findall(r'^(\w+) = (.*)$', page_section(page, 'Test vectors'), re.M))


def check_vectors(page):
    """Section "Test vectors": neither side has one that the other lacks."""
    stated = stated_vectors(page)
    computed = compute_vectors()
    for name in stated | computed:
        yield f'vector {name}', stated.get(name), computed.get(name)


def believed(datagram, waiting):
    """What open_reply() makes of a datagram that should be the vectors' reply."""
    try:
        return open_reply(VECTOR_KEY, datagram, waiting)
    except NotBelieved:
        return None


def check_readers(page):
    """Sections "The token" and "Reply": what reads them takes the vectors, and nothing less."""
    stated = stated_vectors(page)
    yield 'token_parse', stated['token'], token_parse(stated['text']).pack().hex()
    text = stated['text']
    for name, text in (('lower case', text[:4] + text[4:].lower()), ('short', text[:-3]),
                       ('other prefix', 'PL2:' + text[4:]), ('above 65535', text[:-3] + ':::')):
        try:
            yield f'no token: {name}', None, token_parse(text)
        except ValueError:
            yield f'no token: {name}', None, None
    reply = bytes.fromhex(stated['reply'])
    yield 'open_reply', VECTOR_REPLY, believed(reply, {VECTOR_COUNTER: 1})
    yield 'reply to another request', None, believed(reply, {VECTOR_COUNTER + 1: 1})
    yield 'reply to more scans', None, believed(reply, {VECTOR_COUNTER: 2})
    opened = [bit for bit in range(8 * len(reply))
              if believed(flip_bit(reply, bit), {VECTOR_COUNTER: 1})]
    yield 'replies with one bit flipped', [], opened


def check_tables(page):
    """Sections "Flags of the state" and "Verdicts": the names here are those of the page."""
    flags = re.findall(r'^\| (\d) \| (\w+) \|', page_section(page, 'Flags of the state'), re.M)
    yield 'flags', {int(bit): name for bit, name in flags}, dict(enumerate(FLAGS))
    section = page_section(page, 'Verdicts')
    rows = re.findall(r'^\| 0x(\w\w) \| (\w+) \| (\w+) \|', section, re.M)
    stated = {int(code, 16): (group, name) for code, group, name in rows}
    yield 'verdicts', stated, {code: (GROUPS[Verdict(code).group], name)
                               for code, name in VERDICTS.items()}
    kinds = re.search(r'^Kinds: (.*?)\.$', section, re.M)[1]
    yield 'kinds', kinds, ', '.join(f'{kind} {name}' for kind, name in KINDS.items())


def build_segment():
    """Section "Segments", the worked example: public key, the hash that is signed, the segment."""
    # Only this test needs it; a client does not.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    authority = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = authority.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    facts = 1 | 18900 << 4
    signed = b'PLSEG1\r\n' + struct.pack('<HHIQQ32xQ56x', 1, 1, 2, 0x1122334455667788, 1,
                                         1639353600)
    signed += struct.pack('<QIB3x', 0x0102030405060708, facts, 1)
    signed += struct.pack('<QIB3x', 0xffffffffffffffff, 0, 2)
    digest = blake2b256(signed)
    return public, digest, signed + authority.sign(b'PL1-segment' + digest)


def check_segment(page):
    """Section "Segments", the worked example."""
    public, digest, segment = build_segment()
    section = page_section(page, 'Segments')
    dump = section.split('<!-- segment-vector -->')[1]
    stated = ''.join(re.findall(r'^ *\d+ ((?: [0-9a-f]{2})+)$', dump, re.M)).replace(' ', '')
    yield 'segment', stated, segment.hex()
    stated = re.findall(r'`([0-9a-f]{64})`', section)
    yield 'segment hashes', stated, [public.hex(), digest.hex(), blake2b256(segment).hex()]


def run_selftest(args):
    """The subcommand selftest, in the Test Anything Protocol."""
    with open(args.page, encoding='utf-8') as file:
        page = file.read()
    failures = number = 0
    for check in (check_vectors, check_readers, check_tables, check_segment):
        for number, (name, stated, computed) in enumerate(check(page), number + 1):
            if stated == computed:
                print(f'ok {number} - {name}')
                continue
            failures += 1
            print(f'not ok {number} - {name}\n# stated:   {stated}\n# computed: {computed}')
    print(f'1..{number}')
    return 1 if failures else 0


# The command line


class Parser(argparse.ArgumentParser):
    """Exits with EXIT_USAGE: 2 is UNKNOWN here."""

    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f'{self.prog}: {message}\n')


def bounded(bits):
    """A type of argument: decimal, or hexadecimal after 0x."""
    def number(text):
        value = int(text, 0)
        if not 0 <= value < 1 << bits:
            raise ValueError
        return value
    return number


def certificate(text):
    cert_id, generation = text.split(':')
    return bounded(64)(cert_id), bounded(4)(generation)


def venue_argument(text):
    venue_class, number = text.split(':')
    return venue(bounded(8)(venue_class), bounded(24)(number))


def add_common_options(parser):
    parser.add_argument('--to', required=True, metavar='ADDR[:PORT]',
                        help=f'the appliance; port {PORT} unless given; [ADDR6]:PORT')
    parser.add_argument('--key', required=True, metavar='FILE', help="the gateway's key file")
    parser.add_argument('--timeout', type=float, default=1.0, metavar='S',
                        help='wait so long for the reply (%(default)s)')
    parser.add_argument('--json', action='store_true', help='print one object of JSON')


def add_hostile_options(parser):
    group = parser.add_argument_group('what a gateway must not do, or not by hand')
    group.add_argument('--version', type=bounded(8), default=VERSION, metavar='N',
                       help='protocol version in the header')
    group.add_argument('--sent-at-offset-ms', type=int, default=0, metavar='MS',
                       help='add to sent_at_ms; may be negative')
    group.add_argument('--lie-scan-count', type=bounded(16), metavar='N',
                       help='scan_cnt in the body, whatever the scans are')
    group.add_argument('--attempt', type=bounded(16), default=0, metavar='N',
                       help='attempt in the body')
    group.add_argument('--flip-bit', type=int, metavar='N',
                       help='after sealing, flip bit N %% 8 of byte N / 8')
    group.add_argument('--raw-size', type=bounded(16), metavar='N',
                       help='after that, cut or pad with zeros to N bytes')


def add_scan_options(parser):
    group = parser.add_argument_group('the scans')
    group.add_argument('--qr', action='append', default=[], metavar='TEXT',
                       help='a token as it is in the QR code; may be repeated')
    group.add_argument('--mint', action='append', type=certificate, metavar='CERT_ID:GENERATION',
                       help='a token made now with --master; may be repeated')
    group.add_argument('--master', metavar='FILE', help='token key file for --mint')
    group.add_argument('--shown-at-offset', type=int, default=0, metavar='S',
                       help='make the tokens of --mint so much later; may be negative')
    group.add_argument('--venue', type=venue_argument, default=venue(1, 1), metavar='CLASS:NUM',
                       help='where all of them are scanned (1:1)')
    group.add_argument('--scan-id', type=bounded(32), metavar='N',
                       help='of the first scan (random)')
    group.add_argument('--scan-id-step', type=int, default=1, metavar='N',
                       help='from a scan to the next; 0: all are one scan sent again (%(default)s)')
    group.add_argument('--count', type=bounded(11), metavar='N',
                       help='so many scans in the one request, of the tokens in turn; the protocol '
                       f'allows {SCAN_MAX} (as many as there are tokens)')


def make_parser():
    parser = Parser(description='A client of the Passline protocol, made from docs/protocol.md.',
                    epilog='Exit status of ask and state: the worst of 0 PASS, 1 DENY, 2 UNKNOWN; '
                    f'3 no reply; {EXIT_USAGE} for bad arguments, files or addresses.')
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    selftest = commands.add_parser('selftest', help="compute the page's test vectors",
                                   epilog='Prints TAP; exit status 0 if all agree.')
    selftest.add_argument('page', metavar='DOCS_PROTOCOL_MD')
    selftest.set_defaults(run=run_selftest)
    for name, text in (('ask', 'ask for verdicts on scans'),
                       ('state', "ask for the appliance's state, without scans")):
        command = commands.add_parser(name, help=text, description=text.capitalize() + '.',
                                      epilog=parser.epilog)
        add_common_options(command)
        if name == 'ask':
            add_scan_options(command)
        else:
            command.set_defaults(qr=[], mint=None, count=None, scan_id=0)
        add_hostile_options(command)
        command.set_defaults(run=run_ask)
    return parser


def main():
    parser = make_parser()
    args = parser.parse_args()
    try:
        return args.run(args)
    except (OSError, ValueError) as error:
        if getattr(error, 'errno', None) == errno.EMSGSIZE:
            parser.exit(EXIT_USAGE, 'the datagram would have to be fragmented\n')
        parser.exit(EXIT_USAGE, f'{error}\n')


if __name__ == '__main__':
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A gateway that asks without a pause while an appliance's rules and keys are exchanged.

The site has two sets of rules and token keys, A and B, and a link that leads to one of them. Of
each datagram's scans one half are of certificates that hold under A, the other of such that hold
under B:

    rules  keys    certificates of A   certificates of B
    A      A       pass                no_key
    B      B       no_key              pass
    A      B       no_key              not_accepted
    B      A       not_accepted        no_key

So every verdict by rules of the one and keys of the other shows, and every datagram of which some
scans were judged before a change and some after. Prints what came of it as JSON.
"""

import argparse
import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import protocol_client as pc

WINDOW = 16  # datagrams under way
ANSWER_S = 5.0  # no answer by then: lost
QR_S = 5  # codes are renewed after


class Asker:
    """Keeps WINDOW datagrams under way, and counts the answers by what they mean."""

    def __init__(self, address, key, wallets):
        self.key = key
        self.wallets = wallets
        self.socket = pc._socket_to(address)
        self.socket.settimeout(0.2)
        self.waiting = {}
        self.counter = time.time_ns()
        self.tally = collections.Counter()
        self.changes = 0
        self.last = None
        self.scans = []
        self.scans_at = 0

    def renew(self):
        now = int(time.time())
        if now - self.scans_at < QR_S:
            return
        self.scans_at = now
        self.scans = [pc.Scan(pc.mint(key, cert_id, now), pc.venue(1, 1), now & 0xffffffff)
                      for cert_id, key in self.wallets]

    def send(self):
        self.renew()
        self.counter += 1
        self.waiting[self.counter] = (time.monotonic(), len(self.scans))
        self.socket.send(pc.seal_request(self.key, self.counter, self.scans,
                                         time.time_ns() // 1000000))
        self.tally['sent'] += 1

    def meaning(self, reply):
        """'A', 'B', or what else the verdicts were."""
        if reply.error:
            return f'error {reply.error.name}'
        halves = [frozenset(v.name for v in reply.verdicts[half::2]) for half in (0, 1)]
        if halves == [{'pass'}, {'no_key'}]:
            return 'A'
        if halves == [{'no_key'}, {'pass'}]:
            return 'B'
        return 'mixed ' + ' '.join(v.name for v in reply.verdicts)

    def receive(self):
        try:
            datagram = self.socket.recv(65536)
        except TimeoutError:
            return
        try:
            reply = pc.open_reply(self.key, datagram, {c: n for c, (_, n) in self.waiting.items()})
        except pc.NotBelieved as why:
            self.tally[f'not believed: {why}'] += 1
            return
        del self.waiting[reply.request_counter]
        what = self.meaning(reply)
        self.tally[what] += 1
        self.changes += self.last is not None and what != self.last
        self.last = what

    def step(self):
        while len(self.waiting) < WINDOW:
            self.send()
        self.receive()
        late = time.monotonic() - ANSWER_S
        for counter in [c for c, (sent, _) in self.waiting.items() if sent < late]:
            del self.waiting[counter]
            self.tally['lost'] += 1

    def drain(self):
        end = time.monotonic() + ANSWER_S
        while self.waiting and time.monotonic() < end:
            self.receive()
        self.tally['lost'] += len(self.waiting)
        self.waiting.clear()

    def report(self):
        told = dict(self.tally)
        told.setdefault('lost', 0)
        told['changes'] = self.changes
        self.tally.clear()
        self.changes = 0
        return told


class Reloader:
    """Points the link to the other set and has the appliance read it, again and again."""

    def __init__(self, link, sets, log, pid, ctl):
        self.link = pathlib.Path(link)
        self.sets = sets
        self.log = open(log, 'rb')
        self.pid = pid
        self.ctl = ctl
        self.count = 0
        self.refused = 0
        self.pending = False
        self.asked = 0

    def begin(self):
        fresh = self.link.with_suffix('.new')
        fresh.symlink_to(self.sets[(self.count + 1) % 2])
        os.replace(fresh, self.link)
        self.log.seek(0, os.SEEK_END)
        self.pending = True
        # Mostly by the signal, and every tenth at the desk.
        if self.ctl and self.count % 10 == 9:
            with subprocess.Popen([self.ctl[0], '--socket', self.ctl[1], 'reload'],
                                  stdout=subprocess.DEVNULL) as asked:
                self.asked += asked.wait() == 0
        else:
            os.kill(self.pid, signal.SIGHUP)

    def done(self):
        text = self.log.read()
        if b'stay as they were' in text:
            self.refused += 1
            sys.stderr.write(text.decode())
        elif b'read again' not in text:
            return False
        self.count += 1
        self.pending = False
        return True


def wallets_of(paths):
    """Key files of wallets: one of A, one of B, and so on."""
    found = []
    for path in paths:
        word, _, cert_id, key = pathlib.Path(path).read_text(encoding='ascii').split()
        assert word == 'passline-wallet-key'
        found.append((int(cert_id, 16), bytes.fromhex(key)))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--to', required=True)
    parser.add_argument('--key', required=True, help="the gateway's key file")
    parser.add_argument('--pid', type=int, required=True, help='of the appliance')
    parser.add_argument('--log', required=True, help='what it says')
    parser.add_argument('--ctl', nargs=2, metavar=('PROGRAM', 'SOCKET'),
                        help='have every tenth reload done by passlinectl')
    parser.add_argument('--link', required=True, help='leads to A now')
    parser.add_argument('--sets', nargs=2, required=True)
    parser.add_argument('--reloads', type=int, default=1000)
    parser.add_argument('--idle', type=float, default=3.0, help='seconds without reloads first')
    parser.add_argument('wallets', nargs='+', help='key files: of A, of B, of A, ...')
    args = parser.parse_args()

    asker = Asker(pc.parse_address(args.to), pc.read_gateway_key(args.key),
                  wallets_of(args.wallets))
    end = time.monotonic() + args.idle
    while time.monotonic() < end:
        asker.step()
    asker.drain()
    told = {'idle': asker.report()}
    reloader = Reloader(args.link, args.sets, args.log, args.pid, args.ctl)
    while reloader.count < args.reloads and not reloader.refused:
        # Each change is seen to have come, before the next.
        if not reloader.pending and asker.last in (None, 'AB'[reloader.count % 2]):
            reloader.begin()
        asker.step()
        reloader.done()
    asker.drain()
    told['reloading'] = asker.report()
    told['reloads'] = reloader.count
    told['refused'] = reloader.refused
    told['at_the_desk'] = reloader.asked
    print(json.dumps(told))


if __name__ == '__main__':
    main()

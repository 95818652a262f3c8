# SPDX-License-Identifier: BSD-3-Clause
"""Beside what others would build: the same verification behind sockets, and a Redis GET."""

import re
import shutil

from harness import chart, numbers
from harness.context import Skip, SuiteError
from harness.link import OUTSTANDING, Appliance, Site, Sockets, huge_mb
from harness.verify import SCANS_MAX, last_cpu

PIPELINE, CONNECTIONS = 64, 8
# Redis takes 90 bytes and more a key: fifty million would not fit many a machine.
REDIS_KEYS_MAX = 10_000_000
REDIS_PORT = 47171


def run(ctx):
    certs = ctx.certs_or(50_000_000, 20_000)
    rows = []
    with ctx.hugepages(huge_mb(certs)) as huge, Site(ctx, certs, huge) as site:
        appliance, sockets = Appliance(site), Sockets(site)
        seconds = ctx.pick(2, 0.2)
        for scans in ctx.pick((1, 16, SCANS_MAX), (1, 16)):
            options = ["--outstanding", OUTSTANDING]
            rows += compared(scans, ctx.rounds({
                "passline": lambda: appliance.load(scans, seconds, *options),
                "sockets": lambda: sockets.load(scans, seconds, *options)}))
    rows.append(redis(ctx, min(certs, REDIS_KEYS_MAX)))
    draw(ctx, rows)
    return rows + ctx.cores_rows(), list(bars(rows))


def compared(scans, got):
    for who, results in got.items():
        datagrams = [one["datagrams_per_s"] for one in results]
        yield {"who": who, "scans": scans, "M datagrams/s": numbers.median(datagrams) / 1e6,
               "M scans/s": numbers.median(datagrams) * scans / 1e6,
               "spread": numbers.spread(datagrams),
               "p99 us": numbers.median([one["latency_us"]["p99"] for one in results]),
               "lost share": max(one["lost_share"] for one in results),
               "wrong": sum(one["wrong_verdicts"] for one in results)}


def redis(ctx, keys):
    """GETs of random keys a second, without persistence, each client with 64 on their way."""
    server, benchmark, client = (shutil.which(name) for name in
                                 ("redis-server", "redis-benchmark", "redis-cli"))
    if not (server and benchmark and client):
        raise Skip("redis-server and redis-tools are needed to compare with")
    process = ctx.spawn([server, "--port", REDIS_PORT, "--bind", "127.0.0.1", "--save", "",
                         "--appendonly", "no", "--dir", ctx.tmp, "--io-threads", 1],
                        cpus={last_cpu()})
    try:
        process.wait_for("[Rr]eady to accept", 60)
        ctx.progress(f"{keys} keys into Redis")
        fill = ctx.tmp / "redis-keys"
        with open(fill, "w", encoding="ascii") as out:
            for idx in range(keys):
                out.write(f"SET key:{idx:012} {idx & 0xffff:04x}\r\n")
        ctx.run(["sh", "-c", f"{client} -p {REDIS_PORT} --pipe <{fill}"])
        fill.unlink()
        command = [benchmark, "-p", REDIS_PORT, "-n", ctx.pick(5_000_000, 100_000), "-r", keys,
                   "-P", PIPELINE, "-c", CONNECTIONS, "-t", "get", "-q"]
        got = ctx.rounds({"redis": lambda: gets(ctx, command)})["redis"]
    finally:
        process.stop()
    return {"who": "redis", "scans": 1, "M scans/s": numbers.median(got) / 1e6,
            "spread": numbers.spread(got), "keys": keys}


def gets(ctx, command):
    """GETs a second, as redis-benchmark tells."""
    ctx.wait_for_cores()
    text = ctx.run(command, cpus={0})
    found = re.findall(r"GET: ([0-9.]+) requests per second", text)
    if not found:
        raise SuiteError(f"redis-benchmark said:\n{text}")
    return float(found[-1])


def bars(rows):
    at = {(row["who"], row["scans"]): row for row in rows}
    least = min(scans for who, scans in at if who == "passline")
    most = max(row["M scans/s"] for row in rows if row["who"] == "passline")
    yield numbers.bar("datagrams_times_sockets", at["passline", least]["M datagrams/s"] /
                      at["sockets", least]["M datagrams/s"], 8)
    yield numbers.bar("scans_times_redis_get", most / at["redis", 1]["M scans/s"], 10)
    yield numbers.bar("wrong_verdicts", sum(row.get("wrong", 0) for row in rows), 0, at_most=True)


def draw(ctx, rows):
    if path := ctx.chart("peers"):
        names = [f"{row['who']}, {row['scans']}" for row in rows]
        chart.bars(path, "Scans a second on one core", "who, scans a datagram", "M scans/s", names,
                   {"M scans/s": [row["M scans/s"] for row in rows]})

"""Load on a broker from good and hostile clients together: load.py HOST:PORT PROCESS SECONDS"""

import asyncio
import base64
import json
import os
import random
import socket
import struct
import sys
import time
import zlib
from collections import Counter

import client
from client import PATH, answer, close, session

address, process, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
end = time.monotonic() + seconds

good = Counter()
hostile = Counter()
problems = []
latencies = []


def running():
    return time.monotonic() < end


def resident():
    """The server's resident memory in KiB."""
    with open(f"/proc/{process}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def head(principal, length, invoice="inv_1", **fields):
    """The head of a request as the shop's proxy forwards it: with the principal, its invoice and its address."""
    # Each principal has an address of its own, like visitors at home.
    number = zlib.crc32(principal.encode())
    fields = {
        "Content-Type": "application/json",
        "Content-Length": length,
        "Sec-Fetch-Site": "same-origin",
        "X-User": principal,
        "X-Customer": "cus_demo",
        "X-Invoice": invoice,
        "X-Proxy-Secret": os.environ["PROXY_SECRET"],
        "X-Forwarded-For": f"198.18.{number >> 8 & 255}.{number & 255}",
        **fields,
    }
    return client.head(address, "POST", PATH, fields)


async def connection(**options):
    return await client.connect(address, **options)


async def good_connection():
    while True:
        try:
            return await connection()
        except OSError as error:
            problems.append(f"a good client cannot connect: {error!r}")
            if not running():
                raise
            await asyncio.sleep(0.5)


# Good clients: each is its own principal and requests a token every four seconds, now and then for another invoice.
PAUSE = 4


async def good_client(number, new_sessions):
    # Two start in a second, each with a call to the vendor, which allows five.
    await asyncio.sleep(number / 2)
    reader, writer = await good_connection()
    invoice = f"inv_{number}"
    while running():
        started = time.monotonic()
        if new_sessions and random.random() < 0.5:
            new_sessions.pop()
            invoice = f"inv_{number}_{random.randrange(10**9)}"
        body = session(invoice)
        try:
            writer.write(head(f"good-{number}", len(body), invoice) + body)
            status, fields, body = await asyncio.wait_for(answer(reader), 30)
        except (OSError, EOFError, asyncio.TimeoutError) as error:
            problems.append(f"a good client saw {error!r}")
            await close(writer)
            reader, writer = await good_connection()
            continue
        latencies.append(time.monotonic() - started)
        good[status] += 1
        if status != 200:
            problems.append(f"a good client received {status} {body[:300]}")
        else:
            payload = json.loads(body)["token"].split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            if claims["invoice_id"] != invoice:
                problems.append(f"a good client received another's token: {claims['invoice_id']}")
        if fields.get("connection") == "close":
            await close(writer)
            reader, writer = await good_connection()
        await asyncio.sleep(min(PAUSE, max(0, end - time.monotonic())))
    await close(writer)


async def allow_new_sessions(new_sessions):
    """Allows one new session every two seconds for all good clients together."""
    while running():
        if not new_sessions:
            new_sessions.append(True)
        await asyncio.sleep(2)


# Hostile clients. Their responses are only counted; what matters is that the good clients get theirs.


async def slow_body():
    """Announces a body and sends one byte of it a second."""
    reader, writer = await connection()
    body = session("inv_slow")
    writer.write(head("slow", len(body), "inv_slow"))
    waiting = asyncio.ensure_future(answer(reader))
    for byte in body:
        writer.write(bytes([byte]))
        done, _ = await asyncio.wait([waiting], timeout=1)
        if done or not running():
            break
    if waiting.done():
        hostile[f"slow body {waiting.result()[0]}"] += 1
    else:
        waiting.cancel()
    await close(writer)


async def slow_head():
    """Sends a header field every second, and never the end of the head."""
    reader, writer = await connection()
    writer.write(f"POST {PATH} HTTP/1.1\r\nHost: {address}\r\n".encode())
    for number in range(60):
        if not running():
            break
        writer.write(f"X-{number}: {number}\r\n".encode())
        await writer.drain()
        try:
            await asyncio.wait_for(reader.readexactly(1), 1)
            break
        except asyncio.TimeoutError:
            continue
        except (OSError, EOFError):
            break
    hostile["slow head"] += 1
    await close(writer)


async def silent():
    """Connects and sends nothing."""
    reader, writer = await connection()
    try:
        await asyncio.wait_for(reader.read(1), min(20, max(0.1, end - time.monotonic())))
    except asyncio.TimeoutError:
        pass
    hostile["silent"] += 1
    await close(writer)


async def garbage():
    """Sends bytes that aren't HTTP, or HTTP that isn't a request for a token."""
    reader, writer = await connection()
    kind = random.randrange(6)
    if kind == 0:
        data = random.randbytes(random.randrange(1, 4096))
    elif kind == 1:
        body = random.randbytes(random.randrange(1, 2048))
        data = head("garbage", len(body)) + body
    elif kind == 2:
        body = b"[" * 20_000
        data = head("garbage", len(body)) + body
    elif kind == 3:
        data = head("garbage", 100_000_000) + b"x" * 200_000
    elif kind == 4:
        data = f"GET /{'x' * 100_000} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
    else:
        data = head("garbage", 100, **{f"X-{number}": "y" * 100 for number in range(500)}) + b"{"
    writer.write(data)
    if kind == 0 and random.random() < 0.5:
        writer.transport.abort()
        hostile["garbage, then gone"] += 1
        return
    try:
        status, _, _ = await asyncio.wait_for(answer(reader), 2)
        hostile[f"garbage {status}"] += 1
    except asyncio.TimeoutError:
        hostile["garbage, no answer"] += 1
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
        hostile["garbage, closed"] += 1
    await close(writer)


async def flood():
    """Sends requests of one principal as fast as it can: for its own, foreign and made-up invoices, and with `replaces`."""
    reader, writer = await connection()
    for _ in range(200):
        if not running():
            break
        invoice = random.choice(["inv_", "oth_", "xyz_"]) + str(random.randrange(10**9))
        body = session(invoice, **random.choice([{}, {"replaces": "0123456789abcdef"}]))
        writer.write(head("flood", len(body), random.choice([invoice, "inv_1"])) + body)
        status, fields, _ = await answer(reader)
        hostile[f"flood {status}"] += 1
        if status >= 500:
            problems.append(f"the flood received {status}")
        if fields.get("connection") == "close":
            break
        await asyncio.sleep(0.02)
    await close(writer)


# The paths that the broker serves, and two that it doesn't.
PATHS = [PATH, "/healthz", "/readyz", "/", "/nobody/serves/this"]


def request(path, method="GET", fields=()):
    return client.head(address, method, path, fields)


async def closed(reader):
    """Reads until the server closes the connection."""
    try:
        while await reader.read(65536):
            pass
    except OSError:
        pass


async def reads_nothing():
    """Sends request after request and reads nothing."""
    reader, writer = await connection(limit=1024)
    writer.transport.pause_reading()
    requests = request(random.choice(PATHS)) * 1000
    started = time.monotonic()
    try:
        while running() and time.monotonic() < started + 90:
            writer.write(requests)
            await asyncio.wait_for(writer.drain(), 1)
    except asyncio.TimeoutError:
        while running() and not writer.transport.is_closing() and time.monotonic() < started + 90:
            await asyncio.sleep(0.5)
    except OSError:
        pass
    hostile["reads nothing"] += 1
    writer.transport.abort()


async def endless_body(trickles):
    """Sends an endless body to any path: as fast as it can, or a byte now and then."""
    reader, writer = await connection()
    fields = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
    writer.write(request(random.choice(PATHS), "POST", fields))
    ended = asyncio.ensure_future(closed(reader))
    started = time.monotonic()
    try:
        while running() and not ended.done():
            writer.write(b"1\r\n \r\n" if trickles else b"4000\r\n" + b" " * 0x4000 + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.5 if trickles else 0)
            if time.monotonic() > started + 90:
                problems.append("an endless body was read for 90 s")
                break
    except OSError:
        pass
    ended.cancel()
    hostile["trickled body" if trickles else "endless body"] += 1
    await close(writer)


async def fast_body():
    await endless_body(False)


async def trickled_body():
    await endless_body(True)


async def storm():
    """Sends thousands of requests at once on one connection, to all paths, and reads the responses."""
    reader, writer = await connection()
    count = 2000
    writer.write(b"".join(request(random.choice(PATHS[1:])) for _ in range(count)))
    try:
        for _ in range(count):
            status, fields, _ = await asyncio.wait_for(answer(reader), 60)
            hostile[f"storm {status}"] += 1
            if fields.get("connection") == "close":
                break
    finally:
        await close(writer)


async def upgrade():
    """Requests an upgrade to a protocol that the server doesn't have, and continues in it."""
    reader, writer = await connection()
    protocol = random.choice(["h2c", "websocket", "TLS/1.3"])
    fields = {"Connection": "Upgrade", "Upgrade": protocol}
    writer.write(request(random.choice(PATHS), fields=fields) + random.randbytes(100))
    try:
        status, _, _ = await asyncio.wait_for(answer(reader), 5)
        hostile[f"upgrade {status}"] += 1
        if status == 101:
            problems.append(f"an upgrade to {protocol} was granted")
    finally:
        await close(writer)


async def reset():
    """Resets its connection at once or in the middle of its request."""
    _, writer = await connection()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    whole = request(random.choice(PATHS))
    writer.write(whole[: random.randrange(len(whole) + 1)])
    await asyncio.sleep(random.choice([0, 0.001, 0.01]))
    writer.transport.abort()
    hostile["reset"] += 1


async def again_and_again(attack):
    while running():
        try:
            await attack()
        except (OSError, EOFError):
            hostile[f"{attack.__name__}, refused"] += 1
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.05)


async def main():
    new_sessions = []
    clients = [good_client(number, new_sessions) for number in range(48)]
    clients.append(allow_new_sessions(new_sessions))
    for attack, count in [
        (slow_body, 8), (slow_head, 4), (silent, 4), (garbage, 4), (flood, 2),
        (reads_nothing, 8), (fast_body, 2), (trickled_body, 8), (storm, 1), (upgrade, 2), (reset, 2),
    ]:
        clients += [again_and_again(attack) for _ in range(count)]
    tasks = [asyncio.ensure_future(task) for task in clients]
    settled = None
    warm_up = min(60, seconds / 2)
    while running():
        await asyncio.sleep(0.5)
        if settled is None and time.monotonic() > end - seconds + warm_up:
            settled = resident()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            problems.append(repr(result))
    grown = resident() - settled
    latencies.sort()
    print("good clients: " + ", ".join(f"{count} × {status}" for status, count in sorted(good.items())))
    print(f"  half within {latencies[len(latencies) // 2] * 1000:.1f} ms, 99 % within {latencies[len(latencies) * 99 // 100] * 1000:.1f} ms")
    print("hostile clients: " + ", ".join(f"{count} × {what}" for what, count in sorted(hostile.items())))
    print(f"resident memory: {resident()} KiB, grown by {grown} KiB since {warm_up:.0f} s after the start")
    for problem, count in Counter(problems).most_common(10):
        print(f"FAILED {count} times: {problem}", file=sys.stderr)
    # A short run ends before the memory has settled.
    if seconds >= 120 and grown >= 5120:
        problems.append("memory")
        print("FAILED: resident memory grew by 5 MiB or more", file=sys.stderr)
    sys.exit(1 if problems else 0)


asyncio.run(main())

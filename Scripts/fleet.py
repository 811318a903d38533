"""A fleet of brokers on one Redis, against a vendor that takes five calls a second: fleet.py PROGRAM SCENARIO…

The scenarios are the functions below whose names begin with `scenario_`; without any, all run. Each starts a Redis
server, a sandbox and brokers of its own, and fails unless what docs/fleet.md promises holds.
"""

import asyncio
import base64
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter

from client import PATH, exchange, session

PROGRAM = os.path.abspath(sys.argv[1])
JSON = {"Content-Type": "application/json"}


class Failed(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failed(what)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Fleet:
    """A Redis server, a sandbox and brokers, in a folder of their own."""

    def __init__(self, processes, timeout="2s", sandbox=(), redis=None, settings=""):
        """`redis` gives each broker its keys of fleet.redis, by its number; `settings` are further sections."""
        self.folder = tempfile.mkdtemp(prefix="fleet-")
        self.size = processes
        self.timeout = timeout
        self.children = []
        self.redis_port = free_port()
        self.redis_keys = redis or (lambda _: f'url: "redis://127.0.0.1:{self.redis_port}"')
        self.settings = settings
        if redis is None:
            self.start_redis()
        with open(self.path("key"), "wb") as file:
            file.write(base64.b64encode(os.urandom(32)))
        os.chmod(self.path("key"), 0o600)
        self.write_credentials("sandbox-secret")
        self.vendor = f"127.0.0.1:{free_port()}"
        port = self.vendor.rsplit(":", 1)[1]
        self.sandbox = self.spawn("sandbox", [PROGRAM, "sandbox", "--port", port, "--log-level", "error", *sandbox])
        self.brokers = []

    def path(self, name):
        return os.path.join(self.folder, name)

    def write_credentials(self, secret):
        temporary = self.path("credentials.new")
        with open(temporary, "w") as file:
            json.dump({"client_id": "sandbox-client", "client_secret": secret}, file)
        os.chmod(temporary, 0o600)
        os.replace(temporary, self.path("credentials.json"))

    def spawn(self, name, command):
        log = open(self.path(f"{name}.log"), "ab")
        child = subprocess.Popen(command, stdout=log, stderr=log)
        self.children.append(child)
        return child

    def start_redis(self):
        self.redis = self.spawn(
            "redis",
            ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder],
        )

    def redis_cli(self, *command):
        return subprocess.run(
            ["redis-cli", "-p", str(self.redis_port), *command], capture_output=True, check=True
        ).stdout.decode("latin-1")

    def start_broker(self):
        number = len(self.brokers)
        port = free_port()
        with open(self.path(f"broker{number}.yaml"), "w") as file:
            file.write(
                f"""
vendor: {{environment: sandbox, baseURL: "http://{self.vendor}"}}
credentials: {{sources: [file], file: {{path: {self.path("credentials.json")}}}}}
server: {{port: {port}, connections: 4000, connectionsPerAddress: 4000}}
route: {{concurrentRequests: 5000}}
access: {{mode: open}}
fleet:
  store: redis
  processes: {self.size}
  keyFile: {self.path("key")}
  redis: {{{self.redis_keys(number)}, timeout: {self.timeout}}}
{self.settings}
"""
            )
        child = self.spawn(
            f"broker{number}", [PROGRAM, "serve", "--config", self.path(f"broker{number}.yaml"), "--log-level", "notice"]
        )
        self.brokers.append((f"127.0.0.1:{port}", child))

    async def start_brokers(self):
        for _ in range(self.size):
            self.start_broker()
        await asyncio.gather(*(self.ready(address) for address, _ in self.brokers))

    async def ready(self, address):
        for _ in range(300):
            try:
                status, _, body = await exchange(address, "GET", "/readyz")
                parts = {part["part"]: part["state"] for part in json.loads(body)["parts"]}
                if status == 200 and parts.get("fleet") == "ok":
                    return
            except OSError:
                pass
            await asyncio.sleep(0.1)
        raise Failed(f"{address} did not become ready; see {self.folder}")

    async def calls(self):
        _, _, body = await exchange(self.vendor, "GET", "/_sandbox/calls")
        return json.loads(body)

    async def control(self, name, **members):
        status, _, _ = await exchange(self.vendor, "POST", f"/_sandbox/{name}", json.dumps(members).encode(), JSON)
        expect(status == 204, f"expected the sandbox to {name}, found {status}")

    def stop(self):
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)
                child.kill()
        for child in self.children:
            child.wait()


async def ask(address, invoice, **members):
    """One request, as (status, seconds, body, Retry-After)."""
    start = time.monotonic()
    status, fields, body = await exchange(address, "POST", PATH, session(invoice, **members), JSON, timeout=120)
    return status, time.monotonic() - start, body, int(fields.get("retry-after", "0"))


async def patient(address, invoice):
    """Asks until there is an answer other than 503. Returns the statuses."""
    seen = []
    while True:
        status, _, _, again = await ask(address, invoice)
        seen.append(status)
        if status != 503:
            return tuple(seen)
        await asyncio.sleep(again)


async def scenario_one_session():
    """8 processes with 1,000 callers each for one session cost one call of each step."""
    fleet = Fleet(8)
    try:
        await fleet.start_brokers()
        answers = await asyncio.gather(*(ask(address, "inv_1") for _ in range(1000) for address, _ in fleet.brokers))
        calls = await fleet.calls()
        statuses = Counter(answer[0] for answer in answers)
        print(f"  {dict(statuses)}, {calls['total']} calls, slowest {max(a[1] for a in answers):.2f} s")
        expect(set(statuses) == {200}, f"expected only 200, found {dict(statuses)}")
        expect(len({json.loads(a[2])["token"] for a in answers}) == 1, "expected one token for all")
        expect(calls["total"] == 2, f"expected one call of each step, found {calls['total']}")
    finally:
        fleet.stop()


async def limited(fleet, sessions, disturb=None):
    start = time.monotonic()
    disturbing = asyncio.create_task(disturb()) if disturb else None
    addresses = [address for address, _ in fleet.brokers]
    kinds = Counter(
        await asyncio.gather(*(patient(addresses[number % len(addresses)], f"inv_{number}") for number in range(sessions)))
    )
    seconds = time.monotonic() - start
    if disturbing:
        await disturbing
    calls = await fleet.calls()
    rate = (calls["total"] - 1) / seconds
    print(f"  {seconds:.1f} s, answers {dict(kinds)}, {calls['total']} calls, {calls['throttled']} throttled, {rate:.2f} a second")
    return kinds, calls, rate


async def scenario_rate_limit():
    """1,000 sessions with 8 processes: at most five calls in any second, and at least 4.2."""
    fleet = Fleet(8, sandbox=["--requests-per-second", "5"])
    try:
        await fleet.start_brokers()
        kinds, calls, rate = await limited(fleet, 1000)
        expect(calls["throttled"] == 0, f"expected no call to be throttled, found {calls['throttled']}")
        expect(set(kinds) <= {(200,), (503, 200)}, f"expected every Retry-After to be honoured, found {dict(kinds)}")
        expect(rate >= 4.2, f"expected at least 4.2 calls a second, found {rate:.2f}")
    finally:
        fleet.stop()


async def scenario_loss():
    """4 processes through the loss of the store, its return and its loss of all data: at most five calls in any second."""
    fleet = Fleet(4, timeout="500ms", sandbox=["--requests-per-second", "5"])
    try:
        await fleet.start_brokers()

        async def disturb():
            await asyncio.sleep(15)
            fleet.redis.kill()
            fleet.redis.wait()
            await asyncio.sleep(15)
            fleet.start_redis()
            await asyncio.sleep(15)
            fleet.redis_cli("FLUSHALL")
            await asyncio.sleep(10)
            fleet.redis.send_signal(signal.SIGSTOP)
            await asyncio.sleep(10)
            fleet.redis.send_signal(signal.SIGCONT)

        kinds, calls, _ = await limited(fleet, 350, disturb)
        expect(calls["throttled"] == 0, f"expected no call to be throttled, found {calls['throttled']}")
        expect(all(kind[-1] == 200 for kind in kinds), f"expected a token for everyone, found {dict(kinds)}")
    finally:
        fleet.stop()


async def scenario_failover():
    """A Sentinel replaces the primary under load: at most five calls in any second, and a token for everyone."""
    ports = {name: free_port() for name in ["primary", "replica", "sentinel"]}
    fleet = Fleet(
        4, timeout="500ms", sandbox=["--requests-per-second", "5"],
        redis=lambda _: f'sentinels: ["127.0.0.1:{ports["sentinel"]}"], primary: shop',
    )
    try:
        server = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--dir", fleet.folder]
        primary = fleet.spawn("primary", [*server, "--port", str(ports["primary"])])
        fleet.spawn("replica", [*server, "--port", str(ports["replica"]), "--replicaof", "127.0.0.1", str(ports["primary"])])
        await asyncio.sleep(1)
        with open(fleet.path("sentinel.conf"), "w") as file:
            file.write(
                f"port {ports['sentinel']}\nbind 127.0.0.1\ndir {fleet.folder}\n"
                f"sentinel monitor shop 127.0.0.1 {ports['primary']} 1\n"
                "sentinel down-after-milliseconds shop 1000\nsentinel failover-timeout shop 5000\n"
            )
        fleet.spawn("sentinel", ["redis-sentinel", fleet.path("sentinel.conf")])
        await fleet.start_brokers()

        async def disturb():
            await asyncio.sleep(15)
            primary.send_signal(signal.SIGSTOP)
            await asyncio.sleep(15)
            # The old primary wakes up, and still calls itself one for a while.
            primary.send_signal(signal.SIGCONT)

        kinds, calls, _ = await limited(fleet, 200, disturb)
        expect(calls["throttled"] == 0, f"expected no call to be throttled, found {calls['throttled']}")
        expect(all(kind[-1] == 200 for kind in kinds), f"expected a token for everyone, found {dict(kinds)}")
    finally:
        fleet.stop()


async def scenario_partition():
    """One of four processes is cut off from the store: all get tokens, and it exceeds the limit by its share at most."""
    name = f"fleet{os.getpid()}"
    links = {"a": "10.231.77", "b": "10.231.78"}

    def ip(*command):
        subprocess.run(["ip", *command], check=True, capture_output=True)

    port = free_port()
    # The vendor allows the fleet's five calls and the one of a process that is cut off.
    fleet = Fleet(
        4, timeout="500ms", sandbox=["--requests-per-second", "6"],
        redis=lambda number: f'url: "redis://{links["b" if number == 3 else "a"]}.2:{port}", plaintext: true',
    )
    try:
        ip("netns", "add", name)
        for link, network in links.items():
            ip("link", "add", f"tb{link}0", "type", "veth", "peer", "name", f"tb{link}1", "netns", name)
            ip("addr", "add", f"{network}.1/30", "dev", f"tb{link}0")
            ip("link", "set", f"tb{link}0", "up")
            ip("-n", name, "addr", "add", f"{network}.2/30", "dev", f"tb{link}1")
            ip("-n", name, "link", "set", f"tb{link}1", "up")
        server = ["redis-server", "--port", str(port), "--protected-mode", "no", "--save", "", "--dir", fleet.folder]
        fleet.spawn("redis", ["ip", "netns", "exec", name, *server])
        await fleet.start_brokers()

        async def disturb():
            await asyncio.sleep(10)
            ip("link", "set", "tbb0", "down")
            await asyncio.sleep(12)
            ip("link", "set", "tbb0", "up")

        kinds, calls, _ = await limited(fleet, 200, disturb)
        expect(calls["throttled"] == 0, f"expected no call to be throttled, found {calls['throttled']}")
        expect(all(kind[-1] == 200 for kind in kinds), f"expected a token for everyone, found {dict(kinds)}")
    finally:
        fleet.stop()
        subprocess.run(["ip", "netns", "delete", name], capture_output=True)


async def scenario_killed_leader():
    """The process that fetches is killed: the others have their token within four seconds."""
    fleet = Fleet(4, timeout="500ms")
    try:
        await fleet.start_brokers()
        # Warms the access token, so that the call that hangs is the one for the checkout token.
        await ask(fleet.brokers[0][0], "inv_warm")
        fleet.sandbox.send_signal(signal.SIGSTOP)
        leader = asyncio.create_task(ask(fleet.brokers[0][0], "inv_1"))
        await asyncio.sleep(1)
        followers = [asyncio.create_task(ask(address, "inv_1")) for address, _ in fleet.brokers[1:]]
        await asyncio.sleep(1)
        start = time.monotonic()
        fleet.brokers[0][1].kill()
        fleet.sandbox.send_signal(signal.SIGCONT)
        answers = await asyncio.gather(*followers)
        seconds = time.monotonic() - start
        await asyncio.gather(leader, return_exceptions=True)
        print(f"  {[answer[0] for answer in answers]} after {seconds:.2f} s")
        expect(all(answer[0] == 200 for answer in answers), "expected 200 for the others")
        expect(seconds < 4, f"expected their token within 4 s, found {seconds:.2f} s")
    finally:
        fleet.stop()


async def scenario_stopped_store():
    """The store is stopped for ten seconds: cached answers take at most 20 ms longer, others come or may come back."""
    fleet = Fleet(4, timeout="100ms")
    try:
        await fleet.start_brokers()
        addresses = [address for address, _ in fleet.brokers]
        for address in addresses:
            await ask(address, "inv_hot")

        async def hot(seconds):
            times = []
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                for address in addresses:
                    status, elapsed, _, _ = await ask(address, "inv_hot")
                    expect(status == 200, f"expected a cached token, found {status}")
                    times.append(elapsed)
                await asyncio.sleep(0.02)
            times.sort()
            return times[int(len(times) * 0.99)]

        before = await hot(5)
        fleet.redis.send_signal(signal.SIGSTOP)
        cold = [asyncio.create_task(patient(addresses[n % 4], f"inv_cold{n}")) for n in range(12)]
        during = await hot(10)
        fleet.redis.send_signal(signal.SIGCONT)
        answers = await asyncio.gather(*cold)
        print(f"  p99 {before * 1000:.1f} ms before, {during * 1000:.1f} ms during; uncached {dict(Counter(answers))}")
        expect(during - before <= 0.02, "expected at most 20 ms more")
        expect(all(answer in ((200,), (503, 200)) for answer in answers), "expected every uncached request to be answered")
    finally:
        fleet.stop()


async def scenario_cool_down():
    """The vendor asks one process for a pause of three seconds: no process calls it before, and everyone gets a token."""
    fleet = Fleet(4, timeout="500ms", sandbox=["--requests-per-second", "5"])
    try:
        await fleet.start_brokers()
        first = fleet.brokers[0][0]
        await ask(first, "inv_warm")
        await fleet.control("throttle", seconds=3)
        start = time.monotonic()
        status, _, _, again = await ask(first, "inv_refused")
        told = time.monotonic()
        asking = asyncio.gather(*(patient(address, f"inv_{n}") for n in range(3) for address, _ in fleet.brokers))
        before = await fleet.calls()
        while time.monotonic() < told + 2.7:
            await asyncio.sleep(0.1)
            during = await fleet.calls()
            expect(during["total"] == before["total"], f"expected no call in the pause, found {during}")
        kinds = await asking
        calls = await fleet.calls()
        print(f"  {status} with Retry-After {again} after {told - start:.2f} s; then {dict(Counter(kinds))}, {calls}")
        expect(status == 503 and again >= 3, f"expected a Retry-After of at least 3 s, found {status} and {again}")
        expect(calls["throttled"] == 1, f"expected one throttled call, found {calls['throttled']}")
        expect(set(kinds) <= {(200,), (503, 200)}, f"expected every Retry-After to be honoured, found {kinds}")
    finally:
        fleet.stop()


async def scenario_revoked():
    """The vendor revokes the access token: one renewal for all processes, and no request fails."""
    fleet = Fleet(4, timeout="500ms")
    try:
        await fleet.start_brokers()
        addresses = [address for address, _ in fleet.brokers]
        for number, address in enumerate(addresses):
            await ask(address, f"inv_warm{number}")
        before = (await fleet.calls())["calls"]["POST /oauth/token"]
        await fleet.control("revoke")
        # Two sessions for each process, so that each learns of the revocation by itself.
        answers = await asyncio.gather(*(ask(addresses[n % 4], f"inv_{n}") for n in range(8)))
        statuses = Counter(answer[0] for answer in answers)
        after = (await fleet.calls())["calls"]["POST /oauth/token"]
        print(f"  {dict(statuses)}, {before} access token before, {after - before} after")
        expect(set(statuses) == {200}, f"expected only 200, found {dict(statuses)}")
        expect(before == 1 and after == 2, f"expected one renewal, found {after - before}")
    finally:
        fleet.stop()


async def scenario_rotation():
    """The secret is rotated under load in all processes: no request fails, and no old token comes after a new one."""
    fleet = Fleet(4)
    try:
        # The vendor accepts both secrets only one after the other, so it is replaced, too.
        await fleet.start_brokers()
        addresses = [address for address, _ in fleet.brokers]
        for address in addresses:
            await ask(address, "inv_hot")
        before = await fleet.calls()
        failed = []
        tokens = {address: [] for address in addresses}

        async def load(address):
            end = time.monotonic() + 12
            while time.monotonic() < end:
                status, _, body, _ = await ask(address, "inv_hot")
                if status == 200:
                    token = json.loads(body)["token"]
                    if token not in tokens[address][-1:]:
                        tokens[address].append(token)
                else:
                    failed.append(status)
                await asyncio.sleep(0.02)

        async def rotate():
            await asyncio.sleep(3)
            fleet.sandbox.kill()
            fleet.sandbox.wait()
            port = fleet.vendor.rsplit(":", 1)[1]
            command = [PROGRAM, "sandbox", "--port", port, "--log-level", "error", "--client-secret", "another-secret"]
            fleet.sandbox = fleet.spawn("sandbox", command)
            await asyncio.sleep(1)
            fleet.write_credentials("another-secret")

        await asyncio.gather(rotate(), *(load(address) for address in addresses))
        calls = await fleet.calls()
        seen = {token for list in tokens.values() for token in list}
        print(f"  {before['total']} calls before, {calls['total']} after; {len(seen)} tokens, {len(failed)} requests failed")
        expect(not failed, f"expected no request to fail, found {dict(Counter(failed))}")
        expect(all(len(list) == 2 for list in tokens.values()), f"expected one change in each process, found {[len(l) for l in tokens.values()]}")
        expect(len(seen) == 2, f"expected one new token for all, found {len(seen) - 1}")
    finally:
        fleet.stop()


async def scenario_dump():
    """A dump of the store holds no secret, token, customer, invoice or client id, and every key ends."""
    fleet = Fleet(2)
    try:
        await fleet.start_brokers()
        _, _, body, _ = await ask(fleet.brokers[0][0], "inv_dump")
        token = json.loads(body)["token"]
        held = []
        for key in fleet.redis_cli("--scan").split():
            expect(int(fleet.redis_cli("PTTL", key)) > 0, f"expected {key} to end")
            kind = fleet.redis_cli("TYPE", key).strip()
            held.append(key + fleet.redis_cli(*(["HGETALL", key] if kind == "hash" else ["GET", key])))
        text = "".join(held)
        for word in ["inv_dump", "cus_demo", "sandbox-client", "sandbox-secret", token, token.split(".")[1][:24]]:
            expect(word not in text, "expected a store without ids and secrets")
        print(f"  {len(held)} keys, {len(text)} bytes")
    finally:
        fleet.stop()


async def main():
    # Each broker holds thousands of connections.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    names = sys.argv[2:] or [name.removeprefix("scenario_") for name in globals() if name.startswith("scenario_")]
    failed = False
    for name in names:
        scenario = globals()[f"scenario_{name}"]
        print(f"{name}: {scenario.__doc__}", flush=True)
        try:
            await scenario()
        except Failed as failure:
            print(f"  FAILED: {failure}", flush=True)
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    asyncio.run(main())

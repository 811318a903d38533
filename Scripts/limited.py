"""A thousand different invoices at once, with a vendor that takes five calls a second: limited.py BROKER VENDOR

Both are HOST:PORT. Fails as Scripts/soak-limited says.
"""

import asyncio
import json
import sys
import time
from collections import Counter

from client import PATH, exchange, session

INVOICES = 1000

broker, vendor = sys.argv[1:3]


async def ask(number):
    """Sends requests until one returns a token, and returns the statuses of all responses."""
    seen = []
    while True:
        body = session(f"inv_{number}")
        status, fields, _ = await exchange(broker, "POST", PATH, body, {"Content-Type": "application/json"})
        seen.append(status)
        if status != 503:
            return tuple(seen)
        await asyncio.sleep(int(fields["retry-after"]))


async def main():
    start = time.monotonic()
    kinds = Counter(await asyncio.gather(*(ask(number) for number in range(INVOICES))))
    seconds = time.monotonic() - start

    _, _, body = await exchange(vendor, "GET", "/_sandbox/calls")
    calls = json.loads(body)
    # The last call is answered in no time.
    rate = (calls["total"] - 1) / seconds
    print(
        f"{seconds:.1f} s, answers {dict(kinds)}, {calls['total']} calls, {calls['throttled']} of them throttled, "
        f"{rate:.2f} a second"
    )
    good = set(kinds) <= {(200,), (503, 200)} and calls["throttled"] == 0 and rate >= 4.75
    sys.exit(0 if good else 1)


asyncio.run(main())

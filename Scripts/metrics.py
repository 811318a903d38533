"""The metrics of a broker under load, read by a real Prometheus: metrics.py PROGRAM

promtool checks the text format; it has no check for OpenMetrics, which Prometheus itself reads here. A Prometheus with the
rules in docs/operations scrapes the broker for a minute. It must find every metric that docs/metrics.md lists, and no
other, and it must raise an alert when the vendor is down. The rules wait for less than in production.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time

from client import exchange
from fleet import Failed, Fleet, ask, expect, free_port

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What Prometheus adds, and what a healthy broker never counts.
OWN = re.compile(r"up|scrape_\w+|ALERTS|ALERTS_FOR_STATE|instance:[\w:]+")
RARE = {"token_broker_metrics_series_dropped_total"}


def documented():
    with open(os.path.join(ROOT, "docs/metrics.md")) as page:
        return dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", page.read(), re.MULTILINE))


async def query(prometheus, path):
    _, _, body = await exchange(prometheus, "GET", f"/api/v1/{path}")
    return json.loads(body)["data"]


def check_formats(port):
    for accept in ["text/plain", "application/openmetrics-text;version=1.0.0"]:
        url = f"http://127.0.0.1:{port}/metrics"
        text = subprocess.run(["curl", "-fsS", "-H", f"Accept: {accept}", url], check=True, capture_output=True).stdout
        if accept == "text/plain":
            checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
            expect(checked.returncode == 0, f"expected promtool to accept the metrics, found {checked.stderr.decode()}")
        else:
            expect(text.endswith(b"# EOF\n"), "expected OpenMetrics to end with # EOF")


async def main():
    port, prometheus = free_port(), f"127.0.0.1:{free_port()}"
    # The policy `vendor-invoice` would need a session, so that its step is missing here.
    fleet = Fleet(1, timeout="500ms", sandbox=["--requests-per-second", "50"], settings=f"metrics: {{port: {port}}}")
    try:
        await fleet.start_brokers()
        (address, _), = fleet.brokers
        with open(os.path.join(ROOT, "docs/operations/alerts.yaml")) as file:
            rules = re.sub(r"for: \w+", "for: 1s", file.read()).replace("interval: 30s", "interval: 1s")
        with open(fleet.path("alerts.yaml"), "w") as file:
            file.write(rules)
        with open(fleet.path("prometheus.yaml"), "w") as file:
            file.write(
                "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [alerts.yaml]\n"
                f'scrape_configs: [{{job_name: token-broker, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]\n'
            )
        fleet.spawn(
            "prometheus",
            [
                "prometheus", f"--config.file={fleet.path('prometheus.yaml')}", f"--storage.tsdb.path={fleet.path('tsdb')}",
                f"--web.listen-address={prometheus}",
            ],
        )
        end = time.monotonic() + 60
        number = 0
        while time.monotonic() < end:
            await asyncio.gather(*(ask(address, f"inv_{number % 400}", **members) for members in ({}, {"invoiceId": "oth_1"})))
            number += 1
            await asyncio.sleep(0.02)
        check_formats(port)
        alerts = await query(prometheus, "alerts")
        expect(alerts["alerts"] == [], f"expected no alert while all is well, found {alerts}")

        # The vendor throttles, and then it is gone, and so is the store.
        await fleet.control("throttle", seconds=1)
        await ask(address, "inv_throttled")
        fleet.sandbox.send_signal(signal.SIGSTOP)
        fleet.redis.kill()
        await asyncio.gather(*(ask(address, f"inv_down{n}") for n in range(number)))
        firing = set()
        for _ in range(100):
            firing = {a["labels"]["alertname"] for a in (await query(prometheus, "alerts"))["alerts"] if a["state"] == "firing"}
            if "TokenBrokerVendorUnavailable" in firing:
                break
            await asyncio.sleep(0.1)
        expect("TokenBrokerVendorUnavailable" in firing, f"expected an alert that the vendor is down, found {firing}")

        kinds = documented()
        names = set(await query(prometheus, "label/__name__/values"))
        names = {re.sub(r"_(bucket|sum|count)$", "", name) if kinds.get(re.sub(r"_(bucket|sum|count)$", "", name)) == "histogram" else name for name in names}
        found = {name for name in names if not OWN.fullmatch(name)}
        print(f"  {len(found)} metrics, {number * 2} requests; firing: {', '.join(sorted(firing))}")
        expect(found <= kinds.keys(), f"expected only documented metrics, found {sorted(found - kinds.keys())}")
        expect(kinds.keys() - found <= RARE, f"expected every documented metric, missing {sorted(kinds.keys() - found - RARE)}")
    finally:
        fleet.stop()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except Failed as failure:
        sys.exit(f"FAILED: {failure}")

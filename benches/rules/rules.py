#!/usr/bin/env python3
"""What ten thousand rules cost a coordinator, and what five thousand alerts at once come to.

    rules.py --kit ../shared/bench --load medium.rw --coordinator PROGRAM --page FILE

The load is pushed once. Rules look back by the age of the load (query_offset), so that they see its last
minutes as if these were now. CPU is what the kernel counts for the process, with rules less without.
"""
import argparse
import collections
import datetime
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

RULES = 10_000
GROUP = 20
ALERTS = 5_000
TICKS = os.sysconf("SC_CLK_TCK")


def rules(nodes, racks):
    """Half thresholds on one node, a fifth rates of one, a fifth aggregates of a rack, the rest over all."""
    for n in range(RULES):
        node, rack = nodes[n % len(nodes)], racks[n % len(racks)]
        kind = n % 10
        if kind < 3:
            yield "alert", f'node_memory_MemAvailable_bytes{{node="{node}"}} < {1_000_000 + n}'
        elif kind < 5:
            yield "alert", f'DCGM_FI_DEV_GPU_TEMP{{node="{node}"}} > {85 + n / RULES}'
        elif kind < 7:
            yield "alert", f'rate(node_network_receive_bytes_total{{node="{node}"}}[5m]) > {10**11 + n}'
        elif kind < 9:
            yield "alert", f'sum by (node) (rate(node_cpu_seconds_total{{rack="{rack}",mode="user"}}[5m])) > {4 + n}'
        elif n % 20 == 9:
            yield "alert", f'avg by (rack) (vllm:num_requests_running) > {10_000 + n}'
        else:
            yield "record", f'sum by (rack) (rate(node_disk_read_bytes_total{{device="nvme0n1"}}[5m]))'


def rule_file(nodes, racks):
    groups = collections.defaultdict(list)
    for n, (kind, expr) in enumerate(rules(nodes, racks)):
        name = {"alert": f"R{n}"} if kind == "alert" else {"record": f"bench:r{n}"}
        more = {"for": "5m", "annotations": {"summary": "{{ $labels.node }} is at {{ $value }}"}}
        groups[n // GROUP].append({**name, "expr": expr, **(more if kind == "alert" else {})})
    return json.dumps({"groups": [
        {"name": f"bench-{g}", "interval": "1m", "rules": list_} for g, list_ in groups.items()]})


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def ask(address, method, path, body=None, kind="application/json"):
    connection = http.client.HTTPConnection(address, timeout=120)
    connection.request(method, path, body, {"content-type": kind} if body else {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def metric(address, name):
    _, page = ask(address, "GET", "/metrics")
    found = [float(line.rsplit(" ", 1)[1]) for line in page.splitlines()
             if line.startswith(name) and line[len(name):][:1] in " {"]
    return sum(found)


def series_at(address, seconds):
    """How many series there are at a time."""
    query = urllib.parse.urlencode({"query": 'count({__name__=~".+"})', "time": f"{seconds:.3f}"})
    _, said = ask(address, "GET", f"/api/v1/query?{query}")
    found = json.loads(said)["data"]["result"]
    return int(found[0]["value"][1]) if found else 0


def measured(process, seconds):
    """CPU seconds of a minute."""
    before, started = cpu_seconds(process.pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(process.pid) - before) / (time.monotonic() - started) * 60


def start(arguments, folder, offset_seconds):
    (folder / "rules").mkdir()
    (folder / "config.toml").write_text(f"""
[alerting]
stock_rules = false
rules = ["{folder}/rules"]
query_offset = "{offset_seconds}s"
""")
    log = open(folder / "log", "w")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VEDETTE_")}
    process = subprocess.Popen(
        [arguments.coordinator, "--config", folder / "config.toml", "--data-dir", folder / "data",
         "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"],
        stdout=log, stderr=log, env=environment)
    told = folder / "data" / "listen.json"
    for _ in range(200):
        if told.exists():
            return process, json.loads(told.read_text())["http"]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    sys.exit((folder / "log").read_text())


def lost_site(address, process):
    """All alerts of a region in one request."""
    alerts = [{"labels": {"alertname": f"Rule{n % 10}", "severity": "critical", "region": "eu",
                          "node": f"eu-{n // 10}"}} for n in range(ALERTS)]
    before, started = cpu_seconds(process.pid), time.monotonic()
    status, said = ask(address, "POST", "/api/v2/alerts", json.dumps(alerts))
    took = time.monotonic() - started
    assert status == 200, said
    time.sleep(3)
    spent = cpu_seconds(process.pid) - before
    incidents = metric(address, 'vedette_coordinator_incidents{standing="open"}')
    return took, spent, incidents


def main():
    parser = argparse.ArgumentParser()
    for name in ("kit", "load", "coordinator", "page", "revision"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seconds", type=int, default=120)
    arguments = parser.parse_args()
    side = json.loads(pathlib.Path(arguments.load + ".json").read_text())
    # A quarter of an hour before the load ends, and on from there while it is measured.
    offset = int(time.time() - side["end_ms"] / 1000 + 900)
    with tempfile.TemporaryDirectory(dir=pathlib.Path(arguments.coordinator).parent) as folder:
        folder = pathlib.Path(folder)
        process, address = start(arguments, folder, offset)
        try:
            push = [sys.executable, f"{arguments.kit}/push.py", f"http://{address}/api/v1/write", arguments.load]
            subprocess.run(push, check=True, stdout=subprocess.DEVNULL)
            seen = series_at(address, time.time() - offset)
            assert seen > 0.9 * side["series"], f"rules would see {seen} series"
            time.sleep(30)
            idle, resident = measured(process, arguments.seconds), resident_mib(process.pid)
            nodes = [f"gpu-{n:04d}" for n in range(100)]
            racks = [f"r{n:02d}" for n in range(13)]
            (folder / "rules" / "bench.yml").write_text(rule_file(nodes, racks))
            process.send_signal(signal.SIGHUP)
            while metric(address, "vedette_coordinator_rules") < RULES:
                time.sleep(1)
            time.sleep(65)
            seconds = metric(address, "vedette_coordinator_rule_group_seconds_count")
            busy = measured(process, arguments.seconds)
            groups = metric(address, "vedette_coordinator_rule_group_seconds_count") - seconds
            failed = metric(address, "vedette_coordinator_rule_failures_total")
            missed = metric(address, "vedette_coordinator_rule_group_missed_total")
            took, spent, incidents = lost_site(address, process)
            page = f"""# Ten thousand rules, {datetime.date.today()}, {arguments.revision}

{os.cpu_count()} cores, shared with others. The load is {pathlib.Path(arguments.load).name}: {side["series"]} series.

| | |
|---|---|
| series that rules see | {seen} |
| rules, in groups of {GROUP}, each minute | {RULES} |
| CPU seconds a minute without rules | {idle:.2f} |
| CPU seconds a minute with rules | {busy:.2f} |
| of a core, for the rules | {(busy - idle) / 60:.3f} |
| memory before and after, MiB | {resident:.0f}, {resident_mib(process.pid):.0f} |
| evaluations of groups while it was measured | {groups:.0f} |
| evaluations that failed | {failed:.0f} |
| evaluations left out | {missed:.0f} |
| {ALERTS} alerts of a region in one request, seconds until they were durable | {took:.2f} |
| CPU seconds for them | {spent:.2f} |
| incidents they made | {incidents:.0f} |
"""
            pathlib.Path(arguments.page).write_text(page)
            print(page)
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main()

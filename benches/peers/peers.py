#!/usr/bin/env python3
"""The same load to the coordinator and to what people would take instead; one page of ratios.

  peers.py --kit ../shared/bench --coordinator PATH --cache DIR [--loads medium,real] [--repeats 3]

The kit makes the load, pushes it, and measures (see its README). Here is only how to start a
coordinator, which of its figures go on the page, and what must come out of which load:

  medium, wide   ingest flat out, disk, answers, restarts, queries
  real           the kit's recording of node_exporter
  paced          the wide load at 50,000 samples/s: CPU at a steady rate
  loss           acknowledged samples that `kill -9` takes
"""
import argparse
import contextlib
import io
import json
import os
import platform
import re
import subprocess
import sys
import time
import urllib.request

PRESETS = ("small", "medium", "wide", "large")
PACED_RATE, PACED_SAMPLES = 50_000, 4_000_000
LOSS_LOAD = "small"


def coordinator(program):
    """How measure.py starts a coordinator. What is merged after the push is asked for, so that disk is as it
    will be in a day; its CPU is in neither row (bench-native-ingest counts all of it)."""
    def spec(data, port):
        url = f"http://127.0.0.1:{port}"

        def families(_):
            page = urllib.request.urlopen(url + "/metrics", timeout=60).read().decode()
            found = re.findall(r'^vedette_coordinator_family_bytes\{family="(\w+)"\} (\S+)', page, re.M)
            return {"family_" + name: int(float(size)) for name, size in found}
        return dict(cmd=[program, "--data-dir", data, "--grpc-listen", f"127.0.0.1:{port + 1}",
                         "--http-listen", f"127.0.0.1:{port}"],
                    write=url + "/api/v1/write", query=url, ready=url + "/-/ready",
                    flush=[("POST", url + "/-/compact")], settle_s=10, disk_extra=families)
    return spec


def load(kit, cache, name):
    """The file of a load, made if it is not there."""
    if name == "real":
        return f"{kit}/baseline/real/node_5s_long.rw"
    path = f"{cache}/{name}.rw"
    if not os.path.exists(path + ".json"):
        subprocess.run([sys.executable, f"{kit}/make_load.py", path, "--preset", name], check=True)
    return path


def run(module, arguments):
    """One run of a program of the kit in this process, which knows a server more."""
    print("+", module.__name__, *arguments, flush=True)
    sys.argv = [module.__name__, *arguments]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        module.main()
    print(out.getvalue(), end="", flush=True)
    return out.getvalue()


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def raw_disk(out, loads):
    """Bytes a sample without roll-ups, where a coordinator was measured."""
    lines = []
    for name in loads:
        path = f"{out}/vedette.{name}.json"
        if os.path.exists(path):
            repeats = json.load(open(path))["repeats"]
            sizes = sorted((it["disk"]["total"] - it["disk"].get("family_windows", 0))
                           / it["push"]["samples"] for it in repeats)
            lines.append(f"- {name}: {sizes[len(sizes) // 2]:.3f} bytes a sample without roll-ups, "
                         "index and all files of the database included")
    return lines


def answers(out, loads, names):
    lines = []
    for name in loads:
        for server in names:
            path = f"{out}/{server}.{name}.json"
            if not os.path.exists(path):
                continue
            checks = [c for it in json.load(open(path))["repeats"] for c in it.get("checks", [])]
            if checks:
                good = sum(c["ok"] for c in checks)
                lines.append(f"- {name}, {server}: {good} of {len(checks)} answers as computed from the load")
    return lines


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--kit", required=True)
    p.add_argument("--coordinator", required=True)
    p.add_argument("--cache", required=True, help="where loads and results are kept")
    p.add_argument("--revision", default="unknown")
    p.add_argument("--page", help="Markdown file to write")
    p.add_argument("--loads", default="medium,wide,real,paced,loss")
    p.add_argument("--peers", default="victoria,prometheus")
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--query-repeats", type=int, default=1)
    a = p.parse_args()
    sys.path.insert(0, a.kit)
    import loss
    import measure
    import servers
    servers.SERVERS["vedette"] = coordinator(os.path.abspath(a.coordinator))
    names = [*filter(None, a.peers.split(",")), "vedette"]
    out, loads, lost = f"{a.cache}/results", a.loads.split(","), []
    os.makedirs(out, exist_ok=True)
    work = f"{a.cache}/run"
    for name in loads:
        for server in names:
            if name == "loss":
                text = run(loss, [server, load(a.kit, a.cache, LOSS_LOAD), "--work", work])
                lost.append(json.loads(text.splitlines()[-1]))
                continue
            paced = name == "paced"
            arguments = [server, load(a.kit, a.cache, "wide" if paced else name), "--work", work,
                         "--repeats", str(a.repeats), "--query-repeats", str(a.query_repeats),
                         "--out", f"{out}/paced" if paced else out]
            if paced:
                arguments += ["--rate", str(PACED_RATE), "--limit", str(PACED_SAMPLES)]
            run(measure, arguments)
    tables = [f"{out}/{server}.{'node_5s_long' if name == 'real' else name}.json"
              for name in loads if name in (*PRESETS, "real") for server in names]
    page = ["# Beside what people would take instead", "",
            f"{time.strftime('%Y-%m-%d')}, revision {a.revision}, {machine()}. One core for the server, one for "
            f"the sender; medians of {a.repeats}. Made by `make bench-peers`, of the program as it is shipped. A coordinator merges what is "
            "left after the load when asked to: its disk is that after it, its CPU is without it.", ""]
    if tables:
        page.append(run(measure, ["table", *tables]))
        measured = ["node_5s_long" if name == "real" else name for name in loads]
        page += [*raw_disk(out, measured), "", *answers(out, measured, names), ""]
    if "paced" in loads:
        page += [f"### paced: wide load at {PACED_RATE:,} samples/s", "", "| | CPU, % of a core | peak RSS MiB |",
                 "|---|---|---|"]
        for server in names:
            summary = json.load(open(f"{out}/paced/{server}.wide.json"))["summary"]
            share = summary["cpu_us_per_sample"]["median"] * PACED_RATE / 1e4
            page.append(f"| {server} | {share:.1f} | {summary['peak_rss_mib']['median']:.0f} |")
        page.append("")
    if lost:
        page += ["### loss: acknowledged samples that `kill -9` takes", "", "| | sent | kept |", "|---|---|---|"]
        page += [f"| {it['name']} | {it['up_sent']:,} | {it['up_kept']:,} |" for it in lost]
        page.append("")
    text = "\n".join(page)
    print(text)
    if a.page:
        open(a.page, "w").write(text)


if __name__ == "__main__":
    main()

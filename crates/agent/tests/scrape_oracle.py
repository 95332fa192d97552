"""Reads pages by Python's prometheus_client and prints their samples as JSON.

Arguments: pairs of format ("text" or "openmetrics") and file. For each one JSON object a line:
  samples   [[name, {label: value}, bits of the value, milliseconds or null], ...]
  refused   the numbers of the lines that its sample parser refuses
  families  how many samples its family parser finds, or null where that refuses the whole page

Samples are compared and not families, because the library renames those of counters. Lines are
offered to its sample parser one by one, so that one it refuses costs only itself. Only a line
feed ends a line.
"""

import gzip
import json
import math
import struct
import sys

from prometheus_client import parser as text
from prometheus_client.openmetrics import parser as openmetrics

PARSERS = {"text": text, "openmetrics": openmetrics}


def row(sample, kind):
    value = float(sample.value)
    bits = "nan" if math.isnan(value) else struct.pack(">d", value).hex()
    labels = {name: value for name, value in sample.labels.items() if value != ""}
    millis = None
    if sample.timestamp is not None:
        millis = round(float(sample.timestamp) * 1000)
    return [sample.name, labels, bits, millis]


def read(kind, page):
    samples, refused = [], []
    for number, line in enumerate(page.split("\n"), 1):
        if kind == "text":
            line = line.strip()
        if line == "" or line.startswith("#"):
            continue
        try:
            samples.append(row(PARSERS[kind]._parse_sample(line), kind))
        except Exception:  # the library raises many kinds
            refused.append(number)
    try:
        families = PARSERS[kind].text_string_to_metric_families(page)
        count = sum(len(family.samples) for family in families)
    except Exception:
        count = None
    return {"samples": samples, "refused": refused, "families": count}


def main(arguments):
    for kind, path in zip(arguments[::2], arguments[1::2]):
        opener = gzip.open if path.endswith(".gz") else open
        with opener(path, "rb") as file:
            page = file.read().decode("utf-8")
        print(json.dumps(read(kind, page)))


main(sys.argv[1:])

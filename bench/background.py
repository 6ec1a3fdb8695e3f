"""How long one changed row takes from device to hub to device, all synchronising in the background.

Two SQLite files of this process and a PostgreSQL database; a row is inserted in one file and looked
for in the other every millisecond.
"""
import random
import time

import beside
from measure import say
from postgres_client import Connection, make_table

CHANGES = 200
TIMEOUT_SECONDS = 10


def make_device(folder, name, url):
    device = beside.make_device(folder, name)
    device.value("SELECT sync_add_peer('hub', ?)", url)
    device.value("SELECT sync_start('hub')")
    return device


def wait_for(device, key):
    """Seconds until the row is there."""
    begin = time.monotonic()
    while not device.rows("SELECT 1 FROM task WHERE id = ?", key):
        if time.monotonic() - begin > TIMEOUT_SECONDS:
            raise RuntimeError("a change did not arrive in the background")
        time.sleep(0.001)
    return time.monotonic() - begin


def measure_changes(samples, devices, count):
    waits = []
    for number in range(count):
        here, there = devices[number % 2], devices[(number + 1) % 2]
        time.sleep(random.uniform(0.02, 0.1))  # wherever the others are in their waiting
        here.db.execute("INSERT INTO task VALUES (?, 'order', 'a body', 1, 0.5, 0)", (f"{number}",))
        waits.append(wait_for(there, f"{number}") * 1000)
    waits.sort()
    samples.add("background.median", waits[len(waits) // 2])
    samples.add("background.p95", waits[int(len(waits) * 0.95)])


def measure(samples, cluster, folder, options):
    for repetition in range(options.repetitions):
        say(f"background, repetition {repetition + 1} of {options.repetitions}")
        hub = cluster.database("hub")
        connection = Connection(hub)
        make_table(connection, "task", True)
        devices = [make_device(folder, f"device{n}", hub.url) for n in range(2)]
        try:
            measure_changes(samples, devices, 20 if options.quick else CHANGES)
        finally:
            for device in devices:
                device.close()
            connection.close()
            cluster.drop("hub")

"""Servers on data folders that came from another server: by base backup, archive or upgrade.

    primary = Cluster()
    standby = Server.base_backup(primary, "standby", "-R")
    standby.start()
    standby.promote()
"""
import os
import pathlib
import socket
import subprocess
import time

from harness import CLUSTER_SCRIPT, Postgres


def program(name):
    folder = subprocess.run([CLUSTER_SCRIPT, "bindir"], capture_output=True, text=True,
                            check=True).stdout.strip()
    return f"{folder}/{name}"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


class Server:
    """A server in a folder beside the data folder of `cluster`, in whose socket folder it listens;
    it ends with the cluster."""

    def __init__(self, cluster, data):
        self.cluster = cluster
        self.data = pathlib.Path(data)
        self.env = dict(cluster.env, PGPORT=free_port(), PGDATA=str(data))

    @classmethod
    def base_backup(cls, cluster, name, *options):
        made = cls(cluster, pathlib.Path(cluster.data).parent / name)
        made.run("pg_basebackup", "-D", str(made.data), "-c", "fast", "-N", *options,
                 "-h", cluster.env["PGHOST"], "-p", cluster.env["PGPORT"], "-U", "postgres")
        return made

    def run(self, name, *arguments):
        """A program of the server's, as the server's owner."""
        owner = pathlib.Path(self.cluster.data).stat()
        other = ({"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
                 if os.getuid() == 0 else {})
        done = subprocess.run([program(name), *arguments], cwd=pathlib.Path(self.data).parent,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              check=False, **other)
        assert done.returncode == 0, f"{name}: {done.stderr}"

    def configure(self, *lines):
        with open(self.data / "postgresql.auto.conf", "a", encoding="utf-8") as out:
            out.write("\n".join(["", *lines, ""]))

    def start(self):
        self.run("pg_ctl", "-D", str(self.data), "-w", "-t", "60", "-l", str(self.data) + ".log",
                 "-o", f"-p {self.env['PGPORT']}", "start")
        self.cluster.others = getattr(self.cluster, "others", []) + [self]
        return self

    def stop(self, mode="fast"):
        self.run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop")
        self.cluster.others.remove(self)

    def promote(self):
        self.run("pg_ctl", "-D", str(self.data), "-w", "promote")

    def database(self, name):
        return Postgres(name, self.env)

    def wait_for(self, name, sql, wanted):
        deadline = time.monotonic() + 60
        while self.database(name).value(sql) != wanted:
            assert time.monotonic() < deadline, f"{sql} never became {wanted}"
            time.sleep(0.05)


def stop_all(cluster):
    for server in list(getattr(cluster, "others", [])):
        server.stop("immediate")
    cluster.stop()

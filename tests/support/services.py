"""Real PostgreSQL and a real S3 store for the tests: Debian's own programs, in a short-lived folder.

Each runs as our child in the foreground and dies with us, however we die.
"""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import psycopg
import pytest
from botocore.config import Config

POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")
REDIS_SERVER = Path("/usr/bin/redis-server")
CEPH_PROGRAMS = {
    "ceph-mon": "ceph-mon",
    "ceph-osd": "ceph-osd",
    "radosgw": "radosgw",
    "ceph": "ceph-common",
    "ceph-authtool": "ceph-common",
    "monmaptool": "ceph-common",
    "radosgw-admin": "radosgw",
}
"""Program -> the Debian package it comes from."""


def required() -> bool:
    """Whether a missing service fails the tests instead of skipping them."""
    return os.environ.get("CI") == "true" or os.environ.get("SANYI_REQUIRE_SERVICES") == "1"


def missing(packages: Sequence[str]) -> None:
    """Skip the test, or fail it where services are required."""
    reason = f"not installed: {', '.join(sorted(set(packages)))} (./go test installs them as root)"
    if required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


# --- PostgreSQL ---------------------------------------------------------------------------------


@dataclass
class Postgres:
    """One server, as many databases as there are tests. Reached through a socket: no port to collide on."""

    folder: Path
    _templates: set[str] = field(default_factory=set)

    def url(self, database: str, driver: str = "postgresql+psycopg") -> str:
        """Address of a database, for SQLAlchemy or (driver `postgresql`) libpq."""
        return f"{driver}://postgres@/{database}?host={self.folder}"

    def fresh(self, template: str = "template1") -> str:
        """A new database of its own, made from a template; its address."""
        name = f"t_{secrets.token_hex(6)}"
        # Copied as files: through the log, which is the default, it costs six times the CPU.
        self._run(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        return self.url(name)

    def template(self, name: str, prepare: Callable[[str], object]) -> str:
        """A database to copy from, prepared (migrated, say) once per session; its name for `fresh`.

        `prepare` gets the address and must have closed every connection when it returns.
        """
        if name not in self._templates:
            self._run(f'CREATE DATABASE "{name}"')
            prepare(self.url(name))
            self._templates.add(name)
        return name

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected to it."""
        name = re.search(r"@/(\w+)\?", url)
        assert name, url
        self._run(f'DROP DATABASE IF EXISTS "{name[1]}" WITH (FORCE)')

    def recreate(self, url: str) -> None:
        """The same database, empty."""
        self.drop(url)
        name = re.search(r"@/(\w+)\?", url)
        assert name, url
        self._run(f'CREATE DATABASE "{name[1]}"')

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres", "postgresql"), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]  # names are ours


@contextmanager
def postgres(**more: str) -> Iterator[Postgres]:
    """A PostgreSQL 15 without fsync, with `more` settings, gone at the end. As root it runs as user `postgres`."""
    if not (POSTGRES_BIN / "initdb").exists():
        missing(["postgresql-15"])
    root = os.geteuid() == 0
    become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if root else []
    with ExitStack() as stack:
        folder = stack.enter_context(_folder("sypg"))
        if root:
            shutil.chown(folder, "postgres", "postgres")
        data = folder / "data"
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        _call([*become, POSTGRES_BIN / "initdb", "-D", data, *options])
        settings = {
            "unix_socket_directories": folder,
            "listen_addresses": "",
            "max_connections": 200,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "timezone": "UTC",
            **more,
        }
        arguments = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        # SIGINT asks PostgreSQL to disconnect everybody and stop.
        stack.enter_context(
            _child([*become, *_until_we_die("INT"), POSTGRES_BIN / "postgres", "-D", data, *arguments], folder, stop=2)
        )
        server = Postgres(folder)
        _wait_for("PostgreSQL", folder, lambda: server._run("SELECT 1"), psycopg.OperationalError)
        yield server


# --- Redis --------------------------------------------------------------------------------------


def redis_program() -> str:
    """Debian's Redis, to be started by whoever needs one. Skips (or fails) the test without it."""
    if not REDIS_SERVER.exists():
        missing(["redis-server"])
    return str(REDIS_SERVER)


# --- Ceph RGW -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class S3:
    """A bucket with Object Lock, made for one test, and how to reach it."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    bucket: str = ""

    def client(self):
        """A plain boto3 client: what an outsider with our keys could do."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def fresh(self, *, object_lock: bool = True) -> "S3":
        """The same store with a new bucket."""
        bucket = f"t-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=object_lock)
        return S3(self.endpoint, self.access_key, self.secret_key, bucket)


@contextmanager
def ceph_rgw() -> Iterator[S3]:
    """A one-node Ceph (monitor, one OSD in memory, RGW) on the loopback. Ready after ten seconds or so."""
    absent = [package for program, package in CEPH_PROGRAMS.items() if not shutil.which(program)]
    if absent:
        missing(absent)
    with ExitStack() as stack:
        # A short path: Ceph's sockets lie in it, and theirs may have 107 characters.
        d = stack.enter_context(_folder("syrgw"))
        for part in ("mon", "osd0", "run", "log", "rgw"):
            (d / part).mkdir()
        port, v2, v1 = _free_ports(3)
        fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
        (d / "ceph.conf").write_text(_CEPH_CONF.format(d=d, fsid=fsid, port=port, v1=v1, v2=v2))
        conf = ["-c", d / "ceph.conf"]
        alive = _until_we_die("KILL")  # nothing to save, and an OSD without its monitor takes long to stop

        keyring = d / "keyring"
        _call(["ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *"])
        for name in ("client.admin", "client.rgw", "osd.0"):
            caps = [text for kind in ("mon", "osd", "mgr") for text in ("--cap", kind, "allow *")]
            _call(["ceph-authtool", keyring, "--gen-key", "-n", name, *caps])
        monmap = d / "monmap"
        address = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
        _call(["monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, monmap])

        _call(["ceph-mon", *conf, "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", keyring])
        stack.enter_context(_child([*alive, "ceph-mon", *conf, "-i", "a", "-f"], d / "log", name="mon"))
        _call(["ceph", *conf, "--connect-timeout", "30", "osd", "new", osd, "0"])
        _call(["ceph-osd", *conf, "-i", "0", "--mkfs", "--osd-uuid", osd])
        stack.enter_context(_child([*alive, "ceph-osd", *conf, "-i", "0", "-f"], d / "log", name="osd"))
        stack.enter_context(_child([*alive, "radosgw", *conf, "-n", "client.rgw", "-f"], d / "log", name="rgw"))
        _wait_for("Ceph RGW", d / "log", lambda: socket.create_connection(("127.0.0.1", port), 1).close(), OSError)

        store = S3(f"http://127.0.0.1:{port}", "test", secrets.token_hex(16))
        user = ["user", "create", "--uid=t", "--display-name=t"]
        keys = [f"--access-key={store.access_key}", f"--secret-key={store.secret_key}"]
        _call(["radosgw-admin", *conf, "-n", "client.rgw", *user, *keys])
        yield store


# cephx stays on: without it radosgw hangs for 300 s. tcp_nodelay: 20 times as many reads.
_CEPH_CONF = """\
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
public_network = 127.0.0.0/8
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_data = {d}/mon
osd_data = {d}/osd0
keyring = {d}/keyring
run_dir = {d}/run
admin_socket = {d}/run/$cluster-$name.asok
pid_file = {d}/run/$name.pid
log_file = {d}/log/$name.log
crash_dir = {d}/log
osd_objectstore = memstore
memstore_device_bytes = 4294967296
mon_data_avail_crit = 1
ms_bind_ipv6 = false
[client.rgw]
rgw_data = {d}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw_crypt_require_ssl = false
"""


# --- what both need -----------------------------------------------------------------------------


@contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _child(
    command: Sequence[str | Path], log_folder: Path, *, name: str = "server", stop: int = 15
) -> Iterator[subprocess.Popen[bytes]]:
    """A program running beside us, stopped by its own process id at the end."""
    with (log_folder / f"{name}.out").open("wb") as output:
        # A session of its own: Ctrl-C is for us, and we stop it in order.
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=_environment(),
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()


def _until_we_die(signal: str) -> list[str]:
    """Words before a command that have the kernel send it this signal should we be killed."""
    return ["setpriv", f"--pdeathsig={signal}"] if sys.platform == "linux" and shutil.which("setpriv") else []


def _call(command: Sequence[str | Path]) -> None:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=60, env=_environment(), check=False
    )
    assert done.returncode == 0, f"{command[0]} failed: {done.stderr[-2000:]}"


def _environment() -> Mapping[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "HOME": "/tmp"}


def _wait_for(what: str, logs: Path, ask: Callable[[], object], not_yet: type[Exception], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            ask()
            return
        except not_yet:
            if time.monotonic() > deadline:
                tail = "\n".join(path.read_text(errors="replace")[-1500:] for path in logs.glob("*.out"))
                raise AssertionError(f"{what} did not come up in {seconds:.0f} s\n{tail}") from None
            time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]

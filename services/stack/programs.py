"""How programs of this machine play the images of docker-compose.yml.

One class per image: where its program is, how it is started, when it is well, and what has to be done once it answers.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import httpx

from gateway.ports import free_port
from services.stack.compose import Service
from services.stack.place import HOST, Place
from services.stack.supervisor import Program, ProgramFailed

_PATIENCE_SECONDS = 3.0


class Missing(OSError):
    """A program that the stack needs is not on this machine."""


class Player(Protocol):
    """Plays one image."""

    change: Mapping[str, Callable[[str], str]]
    """Secrets that read otherwise for the program here."""

    def missing(self) -> str:
        """The Debian package to install; empty where everything is there."""
        ...

    def programs(self, place: Place, service: Service) -> list[Program]:
        """What to start, in this order; the service is prepared."""
        ...

    def is_well(self, place: Place, service: Service) -> bool: ...

    def settle(self, place: Place, service: Service) -> None:
        """What the image does when its volume is new. Called when it is well; again changes nothing."""
        ...


def base_environment() -> dict[str, str]:
    """Nothing of this shell's settings reaches the stack: they come from the compose file alone."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONUNBUFFERED": "1"}


def find(program: str) -> str | None:
    """In PATH, and where Debian keeps servers."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/sbin")


class Ours:
    """The product itself: the same start lines, the same settings, the same secrets, from this installation."""

    change: Mapping[str, Callable[[str], str]] = {}

    def missing(self) -> str:
        return ""

    def programs(self, place: Place, service: Service) -> list[Program]:
        entrypoint = list(service.entrypoint) or ["courtyard"]
        words = place.arguments(service, [*entrypoint, *service.command])
        return [own_program(place, service, words, restarts=service.restarts)]

    def is_well(self, place: Place, service: Service) -> bool:
        if not service.check:
            return all(listens(place.port(service.name, port)) for port in service.ports)
        program = own_program(place, service, place.arguments(service, service.check), restarts=False)
        done = subprocess.run(program.argv, env=dict(program.environment), cwd="/", check=False, capture_output=True)
        return done.returncode == 0

    def settle(self, place: Place, service: Service) -> None:
        """Its volume needs nothing."""


def own_program(place: Place, service: Service, words: list[str], *, restarts: bool) -> Program:
    """`words`, a start line of courtyard or python, with the settings and secrets of a service that is prepared."""
    start = {
        "courtyard": [sys.executable, "-c", "from services.cli.main import app; app(prog_name='courtyard')"],
        "python": [sys.executable],
    }
    if words[0] not in start:
        raise ProgramFailed(f"{service.name}: expected a start line of courtyard or python, found {words[0]!r}")
    targets = {mount.target for mount in service.mounts}
    data = place.mounted(service, "/data") if "/data" in targets else place.run_folder(service.name) / "data"
    environment = base_environment() | place.environment(service)
    environment |= {
        "COURTYARD_DATA_DIR": str(data),  # the image says /data
        "COURTYARD_SECRETS_DIR": str(place.run_folder(service.name) / "secrets"),
    }
    return Program(
        name=service.name,
        argv=(*start[words[0]], *words[1:]),
        environment=environment,
        log=place.log(service.name),
        restarts=restarts,
    )


class Mosquitto:
    """The shipped configuration, access list and password file; only paths and port are this machine's."""

    change: Mapping[str, Callable[[str], str]] = {}

    def missing(self) -> str:
        return "" if find("mosquitto") else "mosquitto"

    def programs(self, place: Place, service: Service) -> list[Program]:
        words = place.arguments(service, service.command)
        config = Path(words[words.index("-c") + 1])
        text = config.read_text(encoding="utf-8")
        for port in service.ports:
            text = text.replace(f"listener {port}\n", f"listener {place.port(service.name, port)} {HOST}\n")
        # Started as root it would become another user, who cannot read files of ours.
        config.write_text(text + ("\nuser root\n" if os.geteuid() == 0 else ""), encoding="utf-8")
        argv = (find("mosquitto") or "mosquitto", *words[1:])
        return [Program(service.name, argv, base_environment(), place.log(service.name))]

    def is_well(self, place: Place, service: Service) -> bool:
        return all(listens(place.port(service.name, port)) for port in service.ports)

    def settle(self, place: Place, service: Service) -> None:
        """Everything is in its configuration."""


class PostgreSql:
    """A cluster of its own, made as the image makes it, with the same init script."""

    change: Mapping[str, Callable[[str], str]] = {}

    def missing(self) -> str:
        return "" if _postgresql("initdb") and shutil.which("psql") else "postgresql"

    def programs(self, place: Place, service: Service) -> list[Program]:
        data = self._data(place, service)
        user = _server_user()
        if not (data / "PG_VERSION").exists():
            self._initialise(place, service, data, user)
        argv = (
            *(str(_postgresql("postgres")), "-D", str(data), "-p", str(self._port(place, service))),
            *("-c", f"listen_addresses={HOST}", "-c", "unix_socket_directories="),
        )
        return [
            Program(
                *(service.name, argv, base_environment(), place.log(service.name)),
                user=user,
                stop_signal=signal.SIGINT,  # its fast shutdown: it does not wait for clients
                stop_seconds=60,
            )
        ]

    def is_well(self, place: Place, service: Service) -> bool:
        words = list(service.check)
        words[0] = str(_postgresql("pg_isready") or "pg_isready")
        environment = base_environment() | {"PGPORT": str(self._port(place, service))}
        return subprocess.run(words, env=environment, check=False, capture_output=True).returncode == 0

    def settle(self, place: Place, service: Service) -> None:
        given = place.environment(service)
        environment = base_environment() | given
        environment |= {
            "PGHOST": HOST,
            "PGPORT": str(self._port(place, service)),
            "PGPASSWORD": Path(given["POSTGRES_PASSWORD_FILE"]).read_text().strip(),
            "SECRETS": str(place.run_folder(service.name) / "secrets"),
        }
        find_database = f"SELECT 1 FROM pg_database WHERE datname = '{given['POSTGRES_DB']}'"  # noqa: S608 - our own file
        psql = ["psql", "-XqAt", "-U", given["POSTGRES_USER"], "-d", "postgres", "-c"]
        if not _succeed([*psql, find_database], environment):
            _succeed([*psql, f'CREATE DATABASE "{given["POSTGRES_DB"]}"'], environment)
        for script in sorted(place.mounted(service, "/docker-entrypoint-initdb.d").glob("*.sh")):
            _succeed(["sh", str(script)], environment)

    def _data(self, place: Place, service: Service) -> Path:
        return place.mounted(service, "/var/lib/postgresql/data") / "cluster"

    def _port(self, place: Place, service: Service) -> int:
        return place.port(service.name, service.ports[0])

    def _initialise(self, place: Place, service: Service, data: Path, user: str | None) -> None:
        given = place.environment(service)
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        password = data.parent / "password"
        password.touch(mode=0o600)
        password.write_text(Path(given["POSTGRES_PASSWORD_FILE"]).read_text())
        if user is not None:
            data.parent.chmod(0o711)  # on the way to the cluster, which is that user's alone
            _check_reachable(data, user)
            shutil.chown(data, user)
            shutil.chown(password, user)
        initdb = [
            *(str(_postgresql("initdb")), "-D", str(data), "-U", given["POSTGRES_USER"], "--pwfile", str(password)),
            *("-A", "scram-sha-256", "-E", "UTF8", "--locale=C", *given["POSTGRES_INITDB_ARGS"].split()),
        ]
        try:
            _succeed(initdb, base_environment(), user=user)
        except ProgramFailed:
            shutil.rmtree(data, ignore_errors=True)
            raise
        finally:
            password.unlink()


class InfluxDb:
    """Debian's InfluxDB 1.6 behind `services.stack.shim`, with accounts and rights as InfluxDB 2 would have them."""

    _APP, _READER = "courtyard", "grafana"
    # InfluxDB 1 knows no tokens: USER:PASSWORD takes their place in the header.
    change: Mapping[str, Callable[[str], str]] = {"courtyard_influx_token": lambda text: f"courtyard:{text}"}

    def missing(self) -> str:
        return "" if find("influxd") else "influxdb"

    def programs(self, place: Place, service: Service) -> list[Program]:
        behind = f"{HOST}:{self._behind(place)}"
        data = place.mounted(service, "/var/lib/influxdb2")
        environment = base_environment() | {
            "INFLUXDB_REPORTING_DISABLED": "true",
            "INFLUXDB_BIND_ADDRESS": f"{HOST}:{free_port()}",
            "INFLUXDB_META_DIR": str(data / "meta"),
            "INFLUXDB_DATA_DIR": str(data / "data"),
            "INFLUXDB_DATA_WAL_DIR": str(data / "wal"),
            "INFLUXDB_DATA_INDEX_VERSION": "tsi1",
            "INFLUXDB_HTTP_BIND_ADDRESS": behind,
            "INFLUXDB_HTTP_AUTH_ENABLED": "true",
            "INFLUXDB_HTTP_LOG_ENABLED": "false",
            "INFLUXDB_MONITOR_STORE_ENABLED": "false",
        }
        listen = f"{HOST}:{place.port(service.name, service.ports[0])}"
        shim = (sys.executable, "-m", "services.stack.shim", listen, f"http://{behind}")
        influxd = (str(find("influxd")), "run", "-config", os.devnull)
        return [
            Program(service.name, influxd, environment, place.log(service.name), stop_seconds=60),
            Program(f"{service.name}-shim", shim, base_environment(), place.log(f"{service.name}-shim")),
        ]

    def is_well(self, place: Place, service: Service) -> bool:
        return answers(f"http://{HOST}:{place.port(service.name, service.ports[0])}/health")

    def settle(self, place: Place, service: Service) -> None:
        given = place.environment(service)
        folder = place.run_folder(service.name) / "secrets"
        password = Path(given["DOCKER_INFLUXDB_INIT_ADMIN_TOKEN_FILE"]).read_text().strip()
        reader = (folder / "influxdb_reader_password").read_text().strip()
        bucket = given["DOCKER_INFLUXDB_INIT_BUCKET"]
        with httpx.Client(base_url=f"http://{HOST}:{self._behind(place)}", trust_env=False) as client:
            # Until there is an administrator, nothing else is answered; where there is one, this is refused.
            client.post("/query", data={"q": f"CREATE USER {self._APP} WITH PASSWORD '{password}' WITH ALL PRIVILEGES"})
            client.auth = httpx.BasicAuth(self._APP, password)
            for query in (
                f"CREATE DATABASE {bucket}",
                f"CREATE USER {self._READER} WITH PASSWORD '{reader}'",
                f"SET PASSWORD FOR {self._READER} = '{reader}'",
                f"GRANT READ ON {bucket} TO {self._READER}",
            ):
                client.post("/query", data={"q": query}).raise_for_status()

    def _behind(self, place: Place) -> int:
        """The port of influxd itself, behind the shim; chosen once."""
        return place.ports.setdefault("influxd:0", free_port())


class Grafana:
    """Where a Grafana is on this machine: the same environment and provisioning."""

    change: Mapping[str, Callable[[str], str]] = {"influx_grafana_password": str}

    def missing(self) -> str:
        return "" if find("grafana") or find("grafana-server") else "grafana"

    def programs(self, place: Place, service: Service) -> list[Program]:
        data = place.mounted(service, "/var/lib/grafana")
        environment = base_environment() | place.environment(service)
        environment |= {
            "GF_SERVER_HTTP_ADDR": HOST,
            "GF_SERVER_HTTP_PORT": str(place.port(service.name, service.ports[0])),
            "GF_PATHS_DATA": str(data),
            "GF_PATHS_LOGS": str(data / "logs"),
            "GF_PATHS_PLUGINS": str(data / "plugins"),
            "GF_PATHS_PROVISIONING": str(place.mounted(service, "/etc/grafana/provisioning")),
        }
        start = (str(find("grafana")), "server") if find("grafana") else (str(find("grafana-server")),)
        argv = (*start, "--homepath", "/usr/share/grafana")
        return [Program(service.name, argv, environment, place.log(service.name))]

    def is_well(self, place: Place, service: Service) -> bool:
        return answers(f"http://{HOST}:{place.port(service.name, service.ports[0])}/api/health")

    def settle(self, place: Place, service: Service) -> None:
        """Grafana reads its provisioning by itself."""


class Nginx:
    """The shipped configuration of the profile tls; Debian has the part for MQTT as a module of its own."""

    change: Mapping[str, Callable[[str], str]] = {}
    _STREAM = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

    def missing(self) -> str:
        return "" if find("nginx") and self._STREAM.exists() else "nginx-light libnginx-mod-stream"

    def programs(self, place: Place, service: Service) -> list[Program]:
        words = place.arguments(service, service.command)
        config = Path(words[words.index("-c") + 1])
        scratch = place.run_folder(service.name) / "tmp"
        scratch.mkdir(exist_ok=True)
        text = re.sub(r"(pid|_temp_path) /tmp/", rf"\1 {scratch}/", config.read_text(encoding="utf-8"))
        for port in service.ports:
            text = text.replace(f"listen {port} ", f"listen {HOST}:{place.port(service.name, port)} ")
        head = f"load_module {self._STREAM};\n" + ("user root;\n" if os.geteuid() == 0 else "")
        config.write_text(head + text, encoding="utf-8")
        argv = (find("nginx") or "nginx", *words[1:])
        return [Program(service.name, argv, base_environment(), place.log(service.name))]

    def is_well(self, place: Place, service: Service) -> bool:
        return answers(place.localised(service, service.check[-1]))

    def settle(self, place: Place, service: Service) -> None:
        """Everything is in its configuration."""


OURS = "courtyard"
"""The product's own image."""
PLAYERS: Mapping[str, Player] = {
    OURS: Ours(),
    "eclipse-mosquitto": Mosquitto(),
    "postgres": PostgreSql(),
    "influxdb": InfluxDb(),
    "grafana/grafana": Grafana(),
    "nginxinc/nginx-unprivileged": Nginx(),
}
OPTIONAL = frozenset({"grafana/grafana", "nginxinc/nginx-unprivileged"})
"""Images that may stay away: nothing else waits for them."""


def listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(url, timeout=_PATIENCE_SECONDS, trust_env=False).is_success
    return False


def _succeed(words: list[str], environment: Mapping[str, str], *, user: str | None = None) -> str:
    done = subprocess.run(words, env=dict(environment), check=False, capture_output=True, text=True, user=user, cwd="/")
    if done.returncode != 0:
        raise ProgramFailed(f"{Path(words[0]).name} failed: {(done.stderr or done.stdout).strip()[-800:]}")
    return done.stdout.strip()


def _postgresql(program: str) -> Path | None:
    """The newest installed; Debian keeps servers out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1]
    on_path = shutil.which(program)
    return Path(on_path) if on_path else None


def _server_user() -> str | None:
    """PostgreSQL refuses to run as root; another user must own the cluster then."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None


def _check_reachable(path: Path, user: str) -> None:
    closed = [folder for folder in path.parents if folder.stat().st_mode & 0o001 == 0]
    if closed:
        raise ProgramFailed(
            f"PostgreSQL does not run as root, and its user {user} cannot reach {path} because {closed[-1]} is closed "
            f"to others. Choose a folder that is not, such as --data /srv/courtyard, or run as another user."
        )

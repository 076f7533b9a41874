"""`courtyard secrets`: every secret once, for one reader, never overwritten; hashes as Mosquitto writes them."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.main import app
from services.settings import Settings
from services.stack import catalogue, certificates, passwords
from services.stack.catalogue import CATALOGUE, OWNERS, PASSWORDS, find
from services.stack.keys import Done, HalfThere, Keys
from tests.needs import missing


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    made = Keys(tmp_path / "secrets")
    assert {outcome.done for outcome in made.make()} == {Done.MADE}
    return made


def contents(keys: Keys) -> dict[str, str]:
    return {file.name: file.read_text() for file in keys.folder.iterdir()}


def test_every_secret_is_made_once_and_stays(keys: Keys) -> None:
    before = contents(keys)
    assert set(before) == set(OWNERS)
    assert {outcome.done for outcome in keys.make()} == {Done.KEPT}
    assert contents(keys) == before
    words = re.findall(r"[A-Za-z0-9]{40}", "".join(before[file.name] for one in CATALOGUE for file in one.files[:1]))
    assert len(set(words)) == len(CATALOGUE), "no two are alike"


def test_nobody_else_on_this_machine_can_read_them(keys: Keys) -> None:
    assert keys.folder.stat().st_mode & 0o077 == 0
    for file in keys.folder.iterdir():
        if os.geteuid() == 0:
            assert file.stat().st_mode & 0o777 == 0o600
            assert file.stat().st_uid == OWNERS[file.name]


def open_folder(tmp_path: Path) -> Path:
    """As a clone has it."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / ".gitignore").write_text("*\n")
    return folder


@pytest.mark.parametrize("do", ["init", "rotate", "device", "tls"])
def test_the_folder_of_a_fresh_clone_is_closed_before_a_secret_lies_in_it(tmp_path: Path, do: str) -> None:
    folder = open_folder(tmp_path)
    command = {
        "init": ["init"],
        "rotate": ["init", "--rotate", "grafana-admin"],
        "device": ["device", "lamp-1"],
        "tls": ["tls", "--host", "courtyard.example"],
    }[do]
    result = CliRunner().invoke(app, ["secrets", *command, "--dir", str(folder)])
    assert result.exit_code == 0, result.output
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("command", [["init"], ["device", "lamp-1"], ["tls", "--host", "courtyard.example"]])
def test_a_folder_that_is_for_something_else_is_left_as_it_is(tmp_path: Path, command: list[str]) -> None:
    """`--dir /tmp` must not close /tmp."""
    folder = open_folder(tmp_path)
    (folder / "letter.txt").write_text("dear")
    result = CliRunner().invoke(app, ["secrets", *command, "--dir", str(folder)])
    assert result.exit_code == 1
    assert "letter.txt" in result.output
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {file.name for file in folder.iterdir()} == {".gitignore", "letter.txt"}


def test_two_at_once_make_pairs_that_fit_and_lose_no_account(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "secrets")
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: list(Keys(keys.folder).make()), range(6)))
        found = dict(threads.map(lambda n: (f"lamp-{n}", Keys(keys.folder).add_device(f"lamp-{n}")), range(12)))
    accounts = keys.accounts()
    gateway = keys.read("courtyard_mqtt").split(":")[2].partition("@")[0]
    assert passwords.fits(gateway, accounts["gateway"])
    assert keys.read("postgres_app_password") in keys.read("courtyard_database_url")
    assert all(passwords.fits(password, accounts[name]) for name, password in found.items())


def test_a_certificate_without_its_key_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    (folder / "tls.crt").write_text("of a real authority")
    with pytest.raises(ValueError, match=r"holds tls\.crt alone"):
        certificates.make(folder, ["courtyard.example"], 30)
    assert (folder / "tls.crt").read_text() == "of a real authority"


def test_half_of_a_pair_is_refused_and_touched_by_nobody(keys: Keys) -> None:
    (keys.folder / "postgres_app_password").unlink()
    before = contents(keys)
    with pytest.raises(
        HalfThere, match=r"postgres-app: it is missing in postgres_app_password.*--dir .*--rotate postgres-app"
    ):
        list(keys.make())
    assert contents(keys) == before
    keys.rotate("postgres-app")
    assert keys.read("postgres_app_password") in keys.read("courtyard_database_url")


def test_a_secret_is_replaced_in_all_its_files_and_no_other(keys: Keys) -> None:
    before = contents(keys)
    outcome = keys.rotate("influx-token")
    assert outcome.done is Done.REPLACED
    after = contents(keys)
    assert {name for name in after if after[name] != before[name]} == {"influxdb_admin_token", "courtyard_influx_token"}
    assert after["influxdb_admin_token"] == after["courtyard_influx_token"]


def test_a_running_container_sees_a_replaced_secret(keys: Keys) -> None:
    """It has mounted the file itself, so the file must stay the same one."""
    file = keys.folder / PASSWORDS
    before = file.stat().st_ino
    keys.rotate("mqtt-gateway")
    keys.add_device("charger-7")
    assert file.stat().st_ino == before
    keys.remove_device("charger-7")
    assert list(passwords.read(file.read_text())) == ["gateway", "devices"], "and nothing of the longer text is left"


def test_the_broker_s_accounts_fit_what_the_programs_are_given(keys: Keys) -> None:
    url = keys.read("courtyard_mqtt")
    password = re.fullmatch(r"mqtt://gateway:(\w{40})@mosquitto:1883", url)
    assert password
    assert passwords.fits(password[1], keys.accounts()["gateway"])
    assert not passwords.fits(password[1], keys.accounts()["devices"])
    keys.rotate("mqtt-gateway")
    assert not passwords.fits(password[1], keys.accounts()["gateway"])


def test_a_device_gets_an_account_once(keys: Keys) -> None:
    password = keys.add_device("charger-7")
    assert passwords.fits(password, keys.accounts()["charger-7"])
    assert not any(password in text for text in contents(keys).values()), "it is kept nowhere"
    with pytest.raises(ValueError, match="has an account"):
        keys.add_device("charger-7")
    keys.remove_device("charger-7")
    assert set(keys.accounts()) == {"gateway", "devices"}
    with pytest.raises(ValueError, match="of the stack itself"):
        keys.remove_device("gateway")


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "a b", "a:b", "$SYS", "a\n", "a\0", "x" * 129])
def test_a_name_that_would_reach_beyond_itself_gets_no_account(keys: Keys, name: str) -> None:
    """In the access list `%u` stands for it: a plus would be every device."""
    with pytest.raises(ValueError, match="expected the name"):
        keys.add_device(name)


def test_the_settings_find_their_secrets(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("COURTYARD_"):
            monkeypatch.delenv(name)
    settings = Settings(_secrets_dir=keys.folder)  # type: ignore[call-arg]
    password = keys.read("postgres_app_password")
    assert settings.database_url == f"postgresql://courtyard:{password}@postgres:5432/courtyard"
    assert settings.mqtt == keys.read("courtyard_mqtt")
    assert re.fullmatch(r"courtyard-gateway-\w{40}", settings.mqtt_client_id)
    assert settings.influx_token == keys.read("influxdb_admin_token")


@pytest.mark.mosquitto
def test_hashes_are_those_that_mosquitto_s_own_program_writes(tmp_path: Path) -> None:
    if shutil.which("mosquitto_passwd") is None:
        missing("mosquitto_passwd is not installed; on Debian: apt-get install mosquitto")
    file = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", file, "gate-3", "a secret: 密码"], check=True, capture_output=True)
    theirs = passwords.read(file.read_text())
    assert passwords.fits("a secret: 密码", theirs["gate-3"])
    assert not passwords.fits("a secret: 密", theirs["gate-3"])
    assert passwords.read(passwords.written(theirs)) == theirs


def test_another_kind_of_hash_and_a_broken_file_are_named() -> None:
    with pytest.raises(ValueError, match=r"expected a hash \$7\$"):
        passwords.fits("x", "$6$salt$hash")
    with pytest.raises(ValueError, match="line 2 of the password file"):
        passwords.read("a:$7$1$x$y\nno colon\n")


def test_an_unknown_name_says_which_there_are() -> None:
    assert find("influxdb_admin_token").name == "influx-token"
    with pytest.raises(ValueError, match="mqtt-gateway, mqtt-client-id"):
        find("password")


# --- the command ------------------------------------------------------------------------------------------------------


def said(*words: str) -> str:
    done = CliRunner().invoke(app, ["secrets", *words])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_tells_what_each_is_for_and_prints_none(tmp_path: Path) -> None:
    folder = str(tmp_path / "secrets")
    output = said("init", "--dir", folder) + said("list", "--dir", folder) + said("init", "--dir", folder)
    for secret in CATALOGUE:
        assert secret.purpose in output
    for file in (tmp_path / "secrets").iterdir():
        assert file.read_text().strip() not in output
    assert "docker compose" in said("init", "--dir", folder, "--rotate", "grafana-admin")


def test_a_device_s_password_is_shown_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    said("init", "--dir", str(folder))
    output = said("device", "charger-7", "--dir", str(folder))
    shown = re.search(r"Password\s+(\w{40})", output)
    assert shown
    assert passwords.fits(shown[1], Keys(folder).accounts()["charger-7"])
    removed = said("device", "charger-7", "--remove", "--dir", str(folder))
    assert "no account any more" in removed
    assert "without containers takes it by itself" in removed, "who has no docker is not sent to it"


def test_a_certificate_to_try_with_is_one_that_clients_take(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        missing("openssl is not installed; on Debian: apt-get install openssl")
    folder = tmp_path / "secrets"
    said("tls", "--host", "courtyard.example", "--host", "127.0.0.1", "--dir", str(folder))
    assert (folder / catalogue.KEY).stat().st_mode & 0o777 in (0o600, 0o644)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / catalogue.CERTIFICATE, folder / catalogue.KEY)
    client = ssl.create_default_context(cafile=str(folder / catalogue.CA))
    for host in ("courtyard.example", "127.0.0.1"):
        assert shake_hands(client, server, host) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match=r"elsewhere\.example"):
        shake_hands(client, server, "elsewhere.example")
    before = (folder / catalogue.CERTIFICATE).read_text()
    assert "kept" in said("tls", "--host", "courtyard.example", "--dir", str(folder))
    assert (folder / catalogue.CERTIFICATE).read_text() == before


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> str | None:
    """In memory, without a socket."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=host)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ours.version()


@pytest.mark.parametrize("host", ["", "a b", "x,IP:10.0.0.1", "http://a"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="expected a host name"):
        certificates.alternative_names([host])

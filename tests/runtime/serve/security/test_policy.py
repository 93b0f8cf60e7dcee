# SPDX-License-Identifier: Apache-2.0
"""From options to a policy, and the warning about root."""

from pathlib import Path

import pytest

from aio.runtime.errors import InputError
from aio.runtime.serve.security.policy import in_container, make_policy, root_warning


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("a-token-of-some-length")
    path.chmod(0o600)
    return path


def test_without_a_token_names_are_checked() -> None:
    policy = make_policy("device.local", allowed_hosts=["other.local"])
    assert policy.token is None
    assert policy.hosts is not None
    for host in (b"device.local:8000", b"other.local", b"localhost", b"10.0.0.1"):
        assert policy.hosts.accepts(host)
    assert not policy.hosts.accepts(b"evil.org")


def test_with_a_token_names_are_checked_only_if_there_are_any(token_file: Path) -> None:
    policy = make_policy("0.0.0.0", token_file=token_file)
    assert policy.token is not None
    assert policy.hosts is None
    policy = make_policy("0.0.0.0", token_file=token_file, allowed_hosts=["device.local"])
    assert policy.hosts is not None
    assert not policy.hosts.accepts(b"evil.org")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1", "fe80::1%eth0", "127.0.0.1"])
def test_every_address_that_can_be_listened_on(host: str) -> None:
    assert make_policy(host).hosts is not None


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't read the token file"):
        make_policy("localhost", token_file=tmp_path / "none")
    with pytest.raises(InputError, match="no host name"):
        make_policy("localhost", allowed_hosts=["a b"])
    with pytest.raises(InputError, match="no origin"):
        make_policy("localhost", allowed_origins=["null"])


def test_root_is_warned_of_outside_of_containers() -> None:
    warning = root_warning(0, contained=False)
    assert warning is not None
    assert "running as root" in warning
    assert root_warning(0, contained=True) is None
    assert root_warning(1000, contained=False) is None


@pytest.mark.parametrize("name", ["container", "KUBERNETES_SERVICE_HOST"])
def test_containers_are_known_by_their_variables(name: str) -> None:
    assert in_container({name: "x"})

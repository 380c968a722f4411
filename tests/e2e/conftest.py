# Fixtures of the tests on real parts: Incus, images, an agentd of their own.
# SPDX-License-Identifier: ISC
import os
import subprocess

import pytest

from lab import (Agentd, Images, Incus, MockUpstream, PROJECT, only_one,
                 wait_for)


def pytest_addoption(parser):
    parser.addoption("--agentd-build", default="build",
                     help="directory with inst/ (installed) and gcc/ (built)")
    parser.addoption("--long", action="store_true",
                     help="also what takes minutes or builds more images")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: only with --long")


def pytest_collection_modifyitems(config, items):
    """Without --long, and unless a test is named, the long ones stay out."""
    if config.getoption("--long") or any("::" in a for a in config.args):
        return
    left = [i for i in items if i.get_closest_marker("long")]
    items[:] = [i for i in items if not i.get_closest_marker("long")]
    config.hook.pytest_deselected(items=left)


@pytest.fixture(scope="session")
def build(request):
    path = os.path.abspath(request.config.getoption("--agentd-build"))
    if not os.path.exists(f"{path}/inst/sbin/agentd"):
        pytest.exit(f"{path}/inst holds no agentd: run ./check", 2)
    return path


@pytest.fixture(scope="session", autouse=True)
def users(build):
    """The workers' users; a service beside us has the same ones."""
    with only_one("users"):
        subprocess.run([f"{build}/inst/libexec/agentd/mkusers"], check=True)


@pytest.fixture(scope="session")
def incus(build):
    """Incus as it runs here; started, and stopped again, if it does not."""
    lab = Incus(build)
    lab.start()
    lab.purge_dead_runs()
    yield lab
    lab.purge_project(PROJECT)
    lab.stop()


@pytest.fixture(scope="session")
def images(build):
    return Images(build)


@pytest.fixture(scope="session")
def service(build, incus, images):
    """One agentd with both images, for all tests that leave it whole."""
    daemon = Agentd(build, incus, PROJECT)
    daemon.start()
    try:
        for name in ("pi", "openclaw"):
            daemon.import_image(f"taos-{name}-base", images.path(name))
        yield daemon
    finally:
        daemon.stop()
        daemon.remove()


@pytest.fixture(autouse=True)
def agrees(request):
    """After each test on the shared agentd Incus and it say the same."""
    if "service" not in request.fixturenames:
        yield
        return
    daemon = request.getfixturevalue("service")
    yield
    found = []

    def same():
        found[:] = daemon.drift()
        return not found
    try:
        wait_for("agreement with Incus", same, 20)
    except AssertionError as e:
        raise AssertionError(f"drift: {found}") from e


@pytest.fixture
def pi(service):
    """A fresh pi agent on the demo provider."""
    agent = service.deploy("pi")
    yield agent
    agent.remove()


@pytest.fixture(scope="session")
def mock_tcp():
    mock = MockUpstream()
    yield mock
    mock.stop()


@pytest.fixture(scope="session")
def mock_tls(tmp_path_factory):
    mock = MockUpstream(tls_dir=tmp_path_factory.mktemp("tls"))
    yield mock
    mock.stop()

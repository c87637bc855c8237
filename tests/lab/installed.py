"""The product, installed: once per release and content, kept as a layer that every test module boots from.

Rules: it is installed as a stranger does, by the shipped installer, from wheels, on a machine without a network. What
is kept is a machine that was shut down in order, so a boot from it is what a reboot is to its owner.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from tests.lab.checkout import checkout
from tests.lab.container import Bind
from tests.lab.folders import fingerprint, forget_old, lab_folder, locked, remove_tree, used_now
from tests.lab.host import require
from tests.lab.lab import Lab
from tests.lab.records import in_use
from tests.lab.release import Release
from tests.lab.roots import root_of
from tests.lab.wheels import wheels_for

CHECKOUT: Final = "/opt/checkout"
WHEELS: Final = "/opt/wheels"
INSTALL: Final = (f"{CHECKOUT}/systemd/install.sh", "--wheels", WHEELS, "--simulator")
INSTALL_TIMEOUT_S: Final = 300.0


def binds_for(release: Release) -> tuple[Bind, ...]:
    """What a machine has at hand to install from, read-only: the checkout and the wheels for its Python."""
    return Bind(checkout().folder, CHECKOUT), Bind(wheels_for(release.python), WHEELS)


def boot_bare(release: Release, *binds: Bind, name: str | None = None, is_kept: bool = False) -> Lab:
    """A machine with nothing installed, and what is needed to install."""
    require(release)
    return Lab.boot(release, binds=(*binds_for(release), *binds), name=name, is_kept=is_kept)


def boot_installed(release: Release, *binds: Bind, name: str | None = None, is_kept: bool = False) -> Lab:
    """A machine with the product installed, booted: what is enabled runs."""
    require(release)
    layers = installed_layers(release)
    return Lab.boot(release, layers=layers, binds=(*binds_for(release), *binds), name=name, is_kept=is_kept)


def install(lab: Lab) -> None:
    """Installs the product, with a simulated gateway to trade on; raises CommandFailed with what the installer said."""
    lab.run(INSTALL, timeout_s=INSTALL_TIMEOUT_S)


@cache
def installed_layers(release: Release) -> tuple[Path, ...]:
    """The layers of a machine with the product of this checkout installed."""
    key = fingerprint([root_of(release).base.name, checkout().product, wheels_for(release.python).name, *INSTALL])
    return frozen(release, f"installed-{release.name}-{key}", install)


def frozen(release: Release, name: str, prepare: Callable[[Lab], None]) -> tuple[Path, ...]:
    """The layer called ``name``: a bare machine after ``prepare``, which runs only where the layer is not there yet.

    The name must tell everything that the result depends on; it begins with "installed-" and the release's name.
    """
    target = lab_folder() / name
    with locked(f"installed-{release.name}"):
        if not target.is_dir():
            with boot_bare(release) as lab:
                prepare(lab)
                lab.freeze(target)
            forget_old(f"installed-{release.name}-*", keep=in_use() | {target})
    return (used_now(target),)


@contextmanager
def kept(lab: Lab) -> Iterator[tuple[Path, ...]]:
    """Powers ``lab`` off; what it has written, to boot from, until the block ends."""
    target = lab_folder() / f"trial-{lab.name}"
    try:
        yield lab.freeze(target)
    finally:
        remove_tree(target)

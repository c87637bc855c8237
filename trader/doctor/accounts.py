"""User accounts: the service's user is there, and has no power."""

from trader.doctor.model import Finding, failed, ok, warning
from trader.doctor.place import Place


def user(place: Place) -> Finding:
    name = place.site.user
    account = place.host.account(name)
    if account is None:
        return failed(f"there is no user {name}")
    if account.uid == 0:
        return failed(f"{name} is root by another name (uid 0)", f"sudo userdel {name} && sudo systemd-sysusers")
    if account.shell not in place.bounds.shells_without_login:
        return warning(
            f"{name} may log in with {account.shell}, and the service needs no shell",
            f"sudo usermod --shell /usr/sbin/nologin {name}",
        )
    return ok(f"{name}, uid {account.uid}, no login shell")


def groups(place: Place) -> Finding:
    account = place.host.account(place.site.user)
    if account is None:
        return failed(f"there is no user {place.site.user}", "sudo systemd-sysusers")
    powers = sorted(set(account.groups) & place.bounds.privileged_groups)
    if powers:
        mend = " && ".join(f"sudo gpasswd --delete {account.name} {group}" for group in powers)
        return failed(f"{account.name} is in {', '.join(powers)}, which is more than trading needs", mend)
    return ok(f"in {', '.join(sorted(account.groups))} only, not in sudo, wheel, docker or adm")

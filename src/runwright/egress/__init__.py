"""Outgoing network of sandboxes: a namespace that leads nowhere but to us, and a relay with a policy.

A sandbox has a network namespace of its own in which every address is local and our listeners sit on
the ports that may be used (`namespace`). Programs inside need no proxy settings: they ask any name
server and connect to any address, and it is us who answer (`questions`, `dns`, `names`), judge
(`policy`, `reach`, `core.addresses`, `core.hosts`) and carry the bytes (`relay`), in a thread of our
own (`egress`, `doorkeeper`). No packet of a sandbox ever meets the host's network.

For a sandbox of the pool, `runtimes.launcher` does all this. For a command of one's own, one shot:

    policy = allow_only(["registry.example"], trusted=[parse_trusted("registry.example:443")])
    door = egress.open(lambda line: log.append(line))   # called in the egress thread
    door.obey(policy)
    try:
        tree.start(Launch(argv=[bwrap, ...], door=door, ...))
        ...
    finally:
        door.close()

or, without a `Tree`:

    argv = door.command([bwrap, ...])
    process = subprocess.Popen(argv, pass_fds=[door.number])   # the pid is bwrap's
    door.started()

The bwrap command must keep the namespace that it is started in (no `--unshare-net`; with
`--unshare-all` add `--share-net`) and bind an `/etc/resolv.conf` that names any server at all, such as
`harness/etc/resolv.conf`, and an `/etc/nsswitch.conf` with `hosts: files dns`. Ports other than
`Egress.ports` have no listener, so connections to them are refused by the sandbox's own kernel;
`Egress(ports=...)` and ports named in `trusted` add some. Trusted hosts may have private addresses;
without `trusted` only public ones are connected to.
"""

from runwright.egress.policy import EgressPolicy, allow_only, policy_of
from runwright.egress.relay import Dial, Limits, Traffic, dial
from runwright.egress.resolver import Resolve
from runwright.egress.service import Egress, SandboxNetwork

__all__ = [
    "Dial",
    "Egress",
    "EgressPolicy",
    "Limits",
    "Resolve",
    "SandboxNetwork",
    "Traffic",
    "allow_only",
    "dial",
    "policy_of",
]

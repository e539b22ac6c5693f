"""The network of sandboxes: a namespace without a route out, and a proxy with a policy.

A sandbox has a network namespace in which every address is local and our listeners have the allowed
ports (`namespace`). Programs inside need no proxy settings: they query any name server and connect to
any address, and it is our proxy that answers (`dns`, `resolver`), checks (`policy`, `core.addresses`,
`core.hostnames`) and relays the bytes (`proxy`, `relay`), in a thread of its own (`service`). No packet
of a sandbox ever reaches the host's network.

To start a program in such a network:

    policy = allow_only(["registry.example"], trusted=[parse_trusted("registry.example:443")])
    network = egress.open(lambda line: log.append(line))   # called in the egress thread
    network.set_policy(policy)
    try:
        tree.start(Launch(argv=[bwrap, ...], network=network, ...))
        ...
    finally:
        network.close()

or, without a `ProcessTree`:

    argv = network.command([bwrap, ...])
    process = subprocess.Popen(argv, pass_fds=[network.control_fd])   # the pid is bwrap's
    network.release_control()

The bwrap command must keep the namespace that it is started in (no `--unshare-net`; with
`--unshare-all` add `--share-net`) and bind an `/etc/resolv.conf` that names any server, such as
`sandbox/etc/resolv.conf`, and an `/etc/nsswitch.conf` with `hosts: files dns`. Ports other than
`Egress.ports` have no listener, so connections to them are refused by the sandbox's own kernel;
`Egress(ports=...)` and ports in `trusted` add some. Trusted hosts may have private addresses; without
`trusted` only public addresses can be reached.
"""

from runwright.egress.policy import EgressPolicy, allow_only, policy_of
from runwright.egress.relay import Dial, EgressLimits, Traffic, dial
from runwright.egress.resolver import Resolve
from runwright.egress.service import Egress, SandboxNetwork

__all__ = [
    "Dial",
    "Egress",
    "EgressLimits",
    "EgressPolicy",
    "Resolve",
    "SandboxNetwork",
    "Traffic",
    "allow_only",
    "dial",
    "policy_of",
]

"""`runwright login`: save the address and the key of a server."""

import importlib
import re
import sys
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import msgspec
import typer

from runwright.cli.profile import open_profiles
from runwright.cli.prompts import piped_secret, read_secret
from runwright.cli.remote import open_client
from runwright.cli.terminal import note, painter
from runwright.cli.whoami import Identity, ask_identity
from runwright.client.environment import DEFAULT_URL

if TYPE_CHECKING:
    from runwright.client.profiles import Profile

_LOCAL: Final = "local"


def login(
    *,
    url: Annotated[str, typer.Argument(metavar="[URL]", help="The address of the server.")] = DEFAULT_URL,
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", metavar="NAME", help="The name to save it by.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(metavar="ID", help="The tenant, with a platform key.")] = None,
    role: Annotated[
        str | None, typer.Option(metavar="ROLE", help="Act with a lower role than the key's.")
    ] = None,
    protected: Annotated[
        bool, typer.Option("--protected", help="Ask for the profile's name before anything is changed there.")
    ] = False,
    ask_key: Annotated[
        bool,
        typer.Option(
            "--with-key", help="Ask for a key, also where the one of this machine's server is found."
        ),
    ] = False,
) -> None:
    """Save the address and the key of a server as a profile.

    Commands use it from now on. The key is asked for, or read from stdin where that is no terminal; it is
    never an argument. Without one, the key of a server on this machine is read from its data directory
    whenever it is needed, and not saved.

    Examples:
    $ runwright login
    $ runwright keys create --tenant ten_acme --role tenant-admin | runwright login https://rw.example.com
    """
    profiles, targets = open_profiles(), importlib.import_module("runwright.client.targets")
    found = not ask_key and targets.local_target(url).credentials.api_key is not None
    key = (piped_secret("API key") if found else read_secret("API key").strip()) or None
    local = key is None
    name = profile or _name_for(url, local=local)
    made: Profile = importlib.import_module("runwright.client.profiles").Profile(
        url=url.rstrip("/"), api_key=key, tenant=tenant, role=role, protected=protected
    )
    identity = ask_identity(open_client(targets.of_profile(name, made)))
    if key is not None and tenant is None:
        made = msgspec.structs.replace(made, key_tenant=identity.tenant)
    profiles.save(name, made, use=True)
    _show(name, made, identity)


def _name_for(url: str, *, local: bool) -> str:
    """Return a name made of the host: `acme` for https://runwright.acme.example."""
    if local:
        return _LOCAL
    host = urlsplit(url).hostname or ""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", host).strip("-.") or "server"


def _show(name: str, profile: "Profile", identity: Identity) -> None:
    paint = painter(sys.stdout)
    note(f"saved in {open_profiles().path}", "dim")
    sys.stdout.write(f"{paint('green', '✓')} {paint('bold', name)}  {profile.url}\n")
    sys.stdout.write(f"  {identity.text}\n")

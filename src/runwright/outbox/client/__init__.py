"""The HTTP client for URLs that users choose; nothing else in the server sends requests to them.

`url` parses a URL and holds the policy, `ssrf_guard` resolves its host to allowed addresses,
`http_connection` speaks HTTP/1.1 within bounds, `client` pools connections.
"""

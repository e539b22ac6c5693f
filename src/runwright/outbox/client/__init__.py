"""The one door through which this server sends requests to places that users name.

`target` reads and judges a URL, `guard` the addresses behind its name, `exchange` speaks bounded
HTTP/1.1 on one connection, `client` puts them together.
"""

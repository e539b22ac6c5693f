"""The MCP server: Runwright's API as tools for language models.

It has two transports, stdio (`runwright mcp`) and streamable HTTP (`/mcp`), and calls the API as any other
client does: the key decides the tenant, the role and the scopes, and `Grant` what of it a model may use.

The official SDK takes a while to import, so a server imports this room with the first request to `/mcp`.
"""

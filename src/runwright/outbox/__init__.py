"""The queue of all that is sent to the outside, and the HTTP client that is safe against SSRF."""

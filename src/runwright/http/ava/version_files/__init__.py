"""The files of versions, and what differs between two of them."""

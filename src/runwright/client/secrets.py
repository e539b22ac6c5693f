"""`rw.secrets`: values that workers get as environment variables."""

from runwright.client.dual_mode import DualMode, M, call
from runwright.client.models.tenants import SecretEntry
from runwright.client.pagination import PAGE_ROWS, PageSource, Results


class SecretsApi(DualMode[M]):
    """The secrets of the tenant. Values go in and never come out."""

    def list(self, *, q: str | None = None) -> Results[M, SecretEntry]:
        """Return the names of secrets, those that contain `q`."""
        query = {"q": q, "per_page": PAGE_ROWS}
        return Results(self._session, PageSource(into=SecretEntry, route="GET /v1/ava/secrets", query=query))

    @call
    async def set(self, name: str, value: str) -> SecretEntry:
        """Set a secret, for attempts that begin from now on."""
        return await self._session.read(
            SecretEntry, "PUT /v1/ava/secrets/{name}", name, json={"value": value}
        )

    @call
    async def delete(self, name: str) -> None:
        """Delete a secret; jobs of workers that list it fail from now on."""
        await self._session.send("DELETE /v1/ava/secrets/{name}", name)

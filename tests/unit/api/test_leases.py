from typing import Any

import pytest


async def test_release(api: Any) -> None:
    async with api.http.post("/api/v2/lease/key.plug.1.17/release?after=60") as response:
        assert (response.status, await response.json()) == (200, {"released": True})
    async with api.http.post("/api/v2/lease/key.plug%2Fx.1.17/release"):
        pass
    assert api.delivery.released == [("key.plug.1.17", 60.0), ("key.plug/x.1.17", 0.0)]


@pytest.mark.parametrize("after", ["-1", "86401", "1.5", "soon", "9" * 30])
async def test_bad_wait(api: Any, after: str) -> None:
    async with api.http.post("/api/v2/lease/t/release", params={"after": after}) as response:
        status, error = await api.error(response)
    assert status == 422
    assert error["detail"].startswith("bad parameter for after: ")
    assert api.delivery.released == []


@pytest.mark.parametrize("token", ["unknown", "a%00b", "x" * 3000])
async def test_unknown_lease(api: Any, token: str) -> None:
    async with api.http.post(f"/api/v2/lease/{token}/release") as response:
        assert (await api.error(response))[0] == 404

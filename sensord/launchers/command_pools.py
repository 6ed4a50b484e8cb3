"""What a daemon wants to have waiting, as it says so.

This file belongs to the supervisor process: only the standard library is imported, and nothing of this package.
"""

from __future__ import annotations

from typing import Any

_MOST = 64


def checked_pools(pools: Any) -> dict[str, dict[str, Any]]:
    """What a daemon wants to have waiting; ValueError or TypeError if it is not that."""
    if not isinstance(pools, dict):
        raise TypeError("the pools are none")
    for pool in pools.values():
        argv, env, cwd, count = pool["argv"], pool["env"], pool["cwd"], pool["count"]
        if not (isinstance(argv, list) and argv and isinstance(env, dict) and isinstance(cwd, str)):
            raise TypeError("a pool has no command")
        if not isinstance(count, int) or not 0 <= count <= _MOST:
            raise ValueError("a pool is too large")
    return pools

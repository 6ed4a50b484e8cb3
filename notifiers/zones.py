"""Time zones by their names."""

from __future__ import annotations

from datetime import UTC, tzinfo

from rules.phrases import phrase


def zone_of(name: str) -> tzinfo:
    """The IANA zone of that name. ValueError names the nearest one that exists.

    Where the machine has no time zone database (/usr/share/zoneinfo), the package `tzdata` stands in for it; UTC needs
    neither.
    """
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    # These stand beside the zones: copies, some of which count leap seconds, and whatever this machine is set to.
    if name.partition("/")[0] not in ("posix", "right", "localtime", "posixrules"):
        try:
            return ZoneInfo(name)
        except (LookupError, ValueError, OSError):
            pass
    raise ValueError(_unknown_zone(name))


def _unknown_zone(name: str) -> str:
    from difflib import get_close_matches
    from zoneinfo import available_timezones

    known = {zone.casefold(): zone for zone in available_timezones()}
    word = name[:100].casefold().replace(" ", "_")
    cities = {zone.rpartition("/")[2]: zone for zone in known}
    near = get_close_matches(word, known, n=1, cutoff=0.7)
    near += [cities[city] for city in get_close_matches(word.rpartition("/")[2], cities, n=1, cutoff=0.7)]
    zone = repr(name[:100])
    if near:
        return phrase("there is no time zone {zone}; did you mean {near}?", zone=zone, near=repr(known[near[0]]))
    return phrase("there is no time zone {zone}; write UTC, or a name such as Europe/Lisbon", zone=zone)

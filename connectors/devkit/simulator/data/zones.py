"""Campaign Monitor's time-zone labels, the zone behind each, and date texts: local to a zone, without an offset.

Kept apart from the client's own table on purpose: a mistake in one of the two shows as a shifted date.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

_TABLE = """
GMT|Casablanca|Africa/Casablanca
GMT|Coordinated Universal Time|Etc/UTC
GMT|Greenwich Mean Time : Dublin, Edinburgh, Lisbon, London|Europe/London
GMT|Monrovia, Reykjavik|Atlantic/Reykjavik
GMT+01:00|Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna|Europe/Berlin
GMT+01:00|Belgrade, Bratislava, Budapest, Ljubljana, Prague|Europe/Budapest
GMT+01:00|Brussels, Copenhagen, Madrid, Paris|Europe/Paris
GMT+01:00|Sarajevo, Skopje, Warsaw, Zagreb|Europe/Warsaw
GMT+01:00|West Central Africa|Africa/Lagos
GMT+02:00|Amman|Asia/Amman
GMT+02:00|Athens, Bucharest, Istanbul|Europe/Bucharest
GMT+02:00|Beirut|Asia/Beirut
GMT+02:00|Cairo|Africa/Cairo
GMT+02:00|Damascus|Asia/Damascus
GMT+02:00|Harare, Pretoria|Africa/Johannesburg
GMT+02:00|Helsinki, Kyiv, Riga, Sofia, Tallinn, Vilnius|Europe/Kyiv
GMT+02:00|Jerusalem|Asia/Jerusalem
GMT+02:00|Minsk|Europe/Minsk
GMT+02:00|Windhoek|Africa/Windhoek
GMT+03:00|Baghdad|Asia/Baghdad
GMT+03:00|Kuwait, Riyadh|Asia/Riyadh
GMT+03:00|Moscow, St. Petersburg, Volgograd|Europe/Moscow
GMT+03:00|Nairobi|Africa/Nairobi
GMT+03:30|Tehran|Asia/Tehran
GMT+04:00|Abu Dhabi, Muscat|Asia/Dubai
GMT+04:00|Baku|Asia/Baku
GMT+04:00|Port Louis|Indian/Mauritius
GMT+04:00|Tbilisi|Asia/Tbilisi
GMT+04:00|Yerevan|Asia/Yerevan
GMT+04:30|Kabul|Asia/Kabul
GMT+05:00|Ekaterinburg|Asia/Yekaterinburg
GMT+05:00|Islamabad, Karachi|Asia/Karachi
GMT+05:00|Tashkent|Asia/Tashkent
GMT+05:30|Chennai, Kolkata, Mumbai, New Delhi|Asia/Kolkata
GMT+05:30|Sri Jayawardenepura|Asia/Colombo
GMT+05:45|Kathmandu|Asia/Kathmandu
GMT+06:00|Astana|Asia/Almaty
GMT+06:00|Dhaka|Asia/Dhaka
GMT+06:00|Novosibirsk|Asia/Novosibirsk
GMT+06:30|Yangon (Rangoon)|Asia/Yangon
GMT+07:00|Bangkok, Hanoi, Jakarta|Asia/Bangkok
GMT+07:00|Krasnoyarsk|Asia/Krasnoyarsk
GMT+08:00|Beijing, Chongqing, Hong Kong, Urumqi|Asia/Shanghai
GMT+08:00|Irkutsk|Asia/Irkutsk
GMT+08:00|Kuala Lumpur, Singapore|Asia/Singapore
GMT+08:00|Perth|Australia/Perth
GMT+08:00|Taipei|Asia/Taipei
GMT+08:00|Ulaanbaatar|Asia/Ulaanbaatar
GMT+09:00|Osaka, Sapporo, Tokyo|Asia/Tokyo
GMT+09:00|Seoul|Asia/Seoul
GMT+09:00|Yakutsk|Asia/Yakutsk
GMT+09:30|Adelaide|Australia/Adelaide
GMT+09:30|Darwin|Australia/Darwin
GMT+10:00|Brisbane|Australia/Brisbane
GMT+10:00|Canberra, Melbourne, Sydney|Australia/Sydney
GMT+10:00|Guam, Port Moresby|Pacific/Port_Moresby
GMT+10:00|Hobart|Australia/Hobart
GMT+10:00|Vladivostok|Asia/Vladivostok
GMT+11:00|Magadan, Solomon Is., New Caledonia|Pacific/Guadalcanal
GMT+12:00|Auckland, Wellington|Pacific/Auckland
GMT+12:00|Coordinated Universal Time+12|Etc/GMT-12
GMT+12:00|Fiji|Pacific/Fiji
GMT+12:00|Petropavlovsk-Kamchatsky - Old|Asia/Kamchatka
GMT+13:00|Nuku'alofa|Pacific/Tongatapu
GMT-01:00|Azores|Atlantic/Azores
GMT-01:00|Cape Verde Is.|Atlantic/Cape_Verde
GMT-02:00|Coordinated Universal Time-02|Etc/GMT+2
GMT-02:00|Mid-Atlantic|Etc/GMT+2
GMT-03:00|Brasilia|America/Sao_Paulo
GMT-03:00|Buenos Aires|America/Argentina/Buenos_Aires
GMT-03:00|Cayenne, Fortaleza|America/Cayenne
GMT-03:00|Greenland|America/Nuuk
GMT-03:00|Montevideo|America/Montevideo
GMT-03:30|Newfoundland|America/St_Johns
GMT-04:00|Asuncion|America/Asuncion
GMT-04:00|Atlantic Time (Canada)|America/Halifax
GMT-04:00|Cuiaba|America/Cuiaba
GMT-04:00|Georgetown, La Paz, Manaus, San Juan|America/La_Paz
GMT-04:00|Santiago|America/Santiago
GMT-04:30|Caracas|America/Caracas
GMT-05:00|Bogota, Lima, Quito|America/Bogota
GMT-05:00|Eastern Time (US & Canada)|America/New_York
GMT-05:00|Indiana (East)|America/Indiana/Indianapolis
GMT-06:00|Central America|America/Guatemala
GMT-06:00|Central Time (US & Canada)|America/Chicago
GMT-06:00|Guadalajara, Mexico City, Monterrey|America/Mexico_City
GMT-06:00|Saskatchewan|America/Regina
GMT-07:00|Arizona|America/Phoenix
GMT-07:00|Chihuahua, La Paz, Mazatlan|America/Mazatlan
GMT-07:00|Mountain Time (US & Canada)|America/Denver
GMT-08:00|Baja California|America/Tijuana
GMT-08:00|Pacific Time (US & Canada)|America/Los_Angeles
GMT-09:00|Alaska|America/Anchorage
GMT-10:00|Hawaii|Pacific/Honolulu
GMT-11:00|Coordinated Universal Time-11|Etc/GMT+11
GMT-11:00|Samoa|Pacific/Apia
GMT-12:00|International Date Line West|Etc/GMT+12
"""

_ZONES = {
    f"({offset}) {text}": name for offset, text, name in (line.split("|") for line in _TABLE.strip().splitlines())
}

LABELS = tuple(_ZONES)
"""What `timezones.json` answers, in its order."""


def zone_of(label: str) -> ZoneInfo:
    """Return the zone behind a label. Raises ValueError for an unknown label."""
    try:
        return ZoneInfo(_ZONES[label])
    except KeyError:
        raise ValueError(f"{label!r} is no time-zone label of Campaign Monitor") from None


_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d")


def local_text(at: int, zone: ZoneInfo) -> str:
    """Return `YYYY-MM-DD HH:MM:SS` of an instant (seconds since 1970) in the zone."""
    return datetime.fromtimestamp(at, zone).isoformat(" ")[:19]


def instant(text: str, zone: ZoneInfo) -> int:
    """Return the instant that a local text names; of the repeated autumn hour the first one.

    Raises ValueError for a text in none of the accepted forms.
    """
    for form in _FORMATS:
        try:
            return int(datetime.strptime(text.strip(), form).replace(tzinfo=zone).timestamp())
        except ValueError:
            continue
    raise ValueError(f"{text!r} is no date")


def day_start(at: int, zone: ZoneInfo) -> datetime:
    """Return the local midnight before an instant."""
    return datetime.fromtimestamp(at, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)

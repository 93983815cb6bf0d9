"""Time-zone labels of Campaign Monitor, as data: the text after the bracket -> IANA zone.

The printed offset is left out on purpose: it is the standard one of the day when the label was made, and several
countries have changed theirs since. The second part holds labels that newer Windows zone tables show, which is where
Campaign Monitor's come from. Weak guesses, because the label covers several zones or none: `Mid-Atlantic`, `Samoa`,
`Magadan, Solomon Is., New Caledonia`, `Petropavlovsk-Kamchatsky - Old`; `CM_ZONE_OVERRIDES` corrects them.
"""

ZONES: dict[str, str] = {
    # GMT
    "Casablanca": "Africa/Casablanca",
    "Coordinated Universal Time": "Etc/UTC",
    "Greenwich Mean Time : Dublin, Edinburgh, Lisbon, London": "Europe/London",
    "Monrovia, Reykjavik": "Atlantic/Reykjavik",
    # GMT+01:00
    "Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna": "Europe/Berlin",
    "Belgrade, Bratislava, Budapest, Ljubljana, Prague": "Europe/Budapest",
    "Brussels, Copenhagen, Madrid, Paris": "Europe/Paris",
    "Sarajevo, Skopje, Warsaw, Zagreb": "Europe/Warsaw",
    "West Central Africa": "Africa/Lagos",
    # GMT+02:00
    "Amman": "Asia/Amman",
    "Athens, Bucharest, Istanbul": "Europe/Bucharest",
    "Beirut": "Asia/Beirut",
    "Cairo": "Africa/Cairo",
    "Damascus": "Asia/Damascus",
    "Harare, Pretoria": "Africa/Johannesburg",
    "Helsinki, Kyiv, Riga, Sofia, Tallinn, Vilnius": "Europe/Kyiv",
    "Jerusalem": "Asia/Jerusalem",
    "Minsk": "Europe/Minsk",
    "Windhoek": "Africa/Windhoek",
    # GMT+03:00
    "Baghdad": "Asia/Baghdad",
    "Kuwait, Riyadh": "Asia/Riyadh",
    "Moscow, St. Petersburg, Volgograd": "Europe/Moscow",
    "Nairobi": "Africa/Nairobi",
    # GMT+03:30
    "Tehran": "Asia/Tehran",
    # GMT+04:00
    "Abu Dhabi, Muscat": "Asia/Dubai",
    "Baku": "Asia/Baku",
    "Port Louis": "Indian/Mauritius",
    "Tbilisi": "Asia/Tbilisi",
    "Yerevan": "Asia/Yerevan",
    # GMT+04:30
    "Kabul": "Asia/Kabul",
    # GMT+05:00
    "Ekaterinburg": "Asia/Yekaterinburg",
    "Islamabad, Karachi": "Asia/Karachi",
    "Tashkent": "Asia/Tashkent",
    # GMT+05:30
    "Chennai, Kolkata, Mumbai, New Delhi": "Asia/Kolkata",
    "Sri Jayawardenepura": "Asia/Colombo",
    # GMT+05:45
    "Kathmandu": "Asia/Kathmandu",
    # GMT+06:00
    "Astana": "Asia/Almaty",
    "Dhaka": "Asia/Dhaka",
    "Novosibirsk": "Asia/Novosibirsk",
    # GMT+06:30
    "Yangon (Rangoon)": "Asia/Yangon",
    # GMT+07:00
    "Bangkok, Hanoi, Jakarta": "Asia/Bangkok",
    "Krasnoyarsk": "Asia/Krasnoyarsk",
    # GMT+08:00
    "Beijing, Chongqing, Hong Kong, Urumqi": "Asia/Shanghai",
    "Irkutsk": "Asia/Irkutsk",
    "Kuala Lumpur, Singapore": "Asia/Singapore",
    "Perth": "Australia/Perth",
    "Taipei": "Asia/Taipei",
    "Ulaanbaatar": "Asia/Ulaanbaatar",
    # GMT+09:00
    "Osaka, Sapporo, Tokyo": "Asia/Tokyo",
    "Seoul": "Asia/Seoul",
    "Yakutsk": "Asia/Yakutsk",
    # GMT+09:30
    "Adelaide": "Australia/Adelaide",
    "Darwin": "Australia/Darwin",
    # GMT+10:00
    "Brisbane": "Australia/Brisbane",
    "Canberra, Melbourne, Sydney": "Australia/Sydney",
    "Guam, Port Moresby": "Pacific/Port_Moresby",
    "Hobart": "Australia/Hobart",
    "Vladivostok": "Asia/Vladivostok",
    # GMT+11:00
    "Magadan, Solomon Is., New Caledonia": "Pacific/Guadalcanal",
    # GMT+12:00
    "Auckland, Wellington": "Pacific/Auckland",
    "Coordinated Universal Time+12": "Etc/GMT-12",
    "Fiji": "Pacific/Fiji",
    "Petropavlovsk-Kamchatsky - Old": "Asia/Kamchatka",
    # GMT+13:00
    "Nuku'alofa": "Pacific/Tongatapu",
    # GMT-01:00
    "Azores": "Atlantic/Azores",
    "Cape Verde Is.": "Atlantic/Cape_Verde",
    # GMT-02:00
    "Coordinated Universal Time-02": "Etc/GMT+2",
    "Mid-Atlantic": "Etc/GMT+2",
    # GMT-03:00
    "Brasilia": "America/Sao_Paulo",
    "Buenos Aires": "America/Argentina/Buenos_Aires",
    "Cayenne, Fortaleza": "America/Cayenne",
    "Greenland": "America/Nuuk",
    "Montevideo": "America/Montevideo",
    # GMT-03:30
    "Newfoundland": "America/St_Johns",
    # GMT-04:00
    "Asuncion": "America/Asuncion",
    "Atlantic Time (Canada)": "America/Halifax",
    "Cuiaba": "America/Cuiaba",
    "Georgetown, La Paz, Manaus, San Juan": "America/La_Paz",
    "Santiago": "America/Santiago",
    # GMT-04:30
    "Caracas": "America/Caracas",
    # GMT-05:00
    "Bogota, Lima, Quito": "America/Bogota",
    "Eastern Time (US & Canada)": "America/New_York",
    "Indiana (East)": "America/Indiana/Indianapolis",
    # GMT-06:00
    "Central America": "America/Guatemala",
    "Central Time (US & Canada)": "America/Chicago",
    "Guadalajara, Mexico City, Monterrey": "America/Mexico_City",
    "Saskatchewan": "America/Regina",
    # GMT-07:00
    "Arizona": "America/Phoenix",
    "Chihuahua, La Paz, Mazatlan": "America/Mazatlan",
    "Mountain Time (US & Canada)": "America/Denver",
    # GMT-08:00
    "Baja California": "America/Tijuana",
    "Pacific Time (US & Canada)": "America/Los_Angeles",
    # GMT-09:00
    "Alaska": "America/Anchorage",
    # GMT-10:00
    "Hawaii": "Pacific/Honolulu",
    # GMT-11:00
    "Coordinated Universal Time-11": "Etc/GMT+11",
    "Samoa": "Pacific/Apia",
    # GMT-12:00
    "International Date Line West": "Etc/GMT+12",
    # newer labels
    "Dublin, Edinburgh, Lisbon, London": "Europe/London",
    "Sao Tome": "Africa/Sao_Tome",
    "Athens, Bucharest": "Europe/Bucharest",
    "Helsinki, Kiev, Riga, Sofia, Tallinn, Vilnius": "Europe/Kyiv",
    "Chisinau": "Europe/Chisinau",
    "E. Europe": "Europe/Chisinau",
    "Nicosia": "Asia/Nicosia",
    "Gaza, Hebron": "Asia/Hebron",
    "Tripoli": "Africa/Tripoli",
    "Khartoum": "Africa/Khartoum",
    "Juba": "Africa/Juba",
    "Kaliningrad": "Europe/Kaliningrad",
    "Istanbul": "Europe/Istanbul",
    "Moscow, St. Petersburg": "Europe/Moscow",
    "Volgograd": "Europe/Volgograd",
    "Astrakhan, Ulyanovsk": "Europe/Astrakhan",
    "Izhevsk, Samara": "Europe/Samara",
    "Saratov": "Europe/Saratov",
    "Ashgabat, Tashkent": "Asia/Tashkent",
    "Qyzylorda": "Asia/Qyzylorda",
    "Almaty, Novosibirsk": "Asia/Novosibirsk",
    "Astana, Dhaka": "Asia/Dhaka",
    "Omsk": "Asia/Omsk",
    "Barnaul, Gorno-Altaysk": "Asia/Barnaul",
    "Hovd": "Asia/Hovd",
    "Tomsk": "Asia/Tomsk",
    "Pyongyang": "Asia/Pyongyang",
    "Chita": "Asia/Chita",
    "Eucla": "Australia/Eucla",
    "Lord Howe Island": "Australia/Lord_Howe",
    "Bougainville Island": "Pacific/Bougainville",
    "Chokurdakh": "Asia/Srednekolymsk",
    "Magadan": "Asia/Magadan",
    "Vladivostok, Magadan": "Asia/Vladivostok",
    "Norfolk Island": "Pacific/Norfolk",
    "Sakhalin": "Asia/Sakhalin",
    "Solomon Is., New Caledonia": "Pacific/Guadalcanal",
    "Anadyr, Petropavlovsk-Kamchatsky": "Asia/Kamchatka",
    "Chatham Islands": "Pacific/Chatham",
    "Coordinated Universal Time+13": "Etc/GMT-13",
    "Kiritimati Island": "Pacific/Kiritimati",
    "Mid-Atlantic - Old": "Etc/GMT+2",
    "Araguaina": "America/Araguaina",
    "City of Buenos Aires": "America/Argentina/Buenos_Aires",
    "Punta Arenas": "America/Punta_Arenas",
    "Saint Pierre and Miquelon": "America/Miquelon",
    "Salvador": "America/Bahia",
    "Turks and Caicos": "America/Grand_Turk",
    "Bogota, Lima, Quito, Rio Branco": "America/Bogota",
    "Chetumal": "America/Cancun",
    "Haiti": "America/Port-au-Prince",
    "Havana": "America/Havana",
    "Easter Island": "Pacific/Easter",
    "La Paz, Mazatlan": "America/Mazatlan",
    "Chihuahua": "America/Chihuahua",
    "Yukon": "America/Whitehorse",
    "Coordinated Universal Time-08": "Etc/GMT+8",
    "Coordinated Universal Time-09": "Etc/GMT+9",
    "Marquesas Islands": "Pacific/Marquesas",
    "Aleutian Islands": "America/Adak",
}

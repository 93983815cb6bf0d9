"""Countries and states of the USA, as Campaign Monitor names them in `Country` and `USState` fields.

It drops every other text silently. So what people write is translated: ISO 3166 codes of two and three letters, common
English names, the postal codes of the states; case, accents, punctuation and "the" do not matter. Names: the list that
Campaign Monitor's API answers for countries; codes: ISO 3166-1 and 3166-2:US. Pure.
"""

import re
import unicodedata

_COUNTRIES = """
AF AFG Afghanistan|AX ALA Åland Islands|AL ALB Albania|DZ DZA Algeria|AS ASM American Samoa|AD AND Andorra
AO AGO Angola|AI AIA Anguilla|AQ ATA Antarctica|AG ATG Antigua and Barbuda|AR ARG Argentina|AM ARM Armenia
AW ABW Aruba|AU AUS Australia|AT AUT Austria|AZ AZE Azerbaijan|BS BHS Bahamas|BH BHR Bahrain|BD BGD Bangladesh
BB BRB Barbados|BY BLR Belarus|BE BEL Belgium|BZ BLZ Belize|BJ BEN Benin|BM BMU Bermuda|BT BTN Bhutan|BO BOL Bolivia
BA BIH Bosnia and Herzegovina|BW BWA Botswana|BV BVT Bouvet Island|BR BRA Brazil
IO IOT British Indian Ocean Territory|BN BRN Brunei Darussalam|BG BGR Bulgaria|BF BFA Burkina Faso|BI BDI Burundi
KH KHM Cambodia|CM CMR Cameroon|CA CAN Canada|CV CPV Cape Verde|KY CYM Cayman Islands
CF CAF Central African Republic|TD TCD Chad|CL CHL Chile|CN CHN China|CX CXR Christmas Island
CC CCK Cocos (Keeling) Islands|CO COL Colombia|KM COM Comoros|CG COG Congo
CD COD Congo, The Democratic Republic of The|CK COK Cook Islands|CR CRI Costa Rica|CI CIV Cote D'Ivoire
HR HRV Croatia|CU CUB Cuba|CW CUW Curaçao|CY CYP Cyprus|CZ CZE Czech Republic|DK DNK Denmark|DJ DJI Djibouti
DM DMA Dominica|DO DOM Dominican Republic|EC ECU Ecuador|EG EGY Egypt|SV SLV El Salvador|GQ GNQ Equatorial Guinea
ER ERI Eritrea|EE EST Estonia|ET ETH Ethiopia|FK FLK Falkland Islands (Malvinas)|FO FRO Faroe Islands|FJ FJI Fiji
FI FIN Finland|FR FRA France|GF GUF French Guiana|PF PYF French Polynesia|TF ATF French Southern Territories
GA GAB Gabon|GM GMB Gambia|GE GEO Georgia|DE DEU Germany|GH GHA Ghana|GI GIB Gibraltar|GR GRC Greece
GL GRL Greenland|GD GRD Grenada|GP GLP Guadeloupe|GU GUM Guam|GT GTM Guatemala|GG GGY Guernsey|GN GIN Guinea
GW GNB Guinea-Bissau|GY GUY Guyana|HT HTI Haiti|HM HMD Heard Island and McDonald Islands
VA VAT Holy See (Vatican City State)|HN HND Honduras|HK HKG Hong Kong|HU HUN Hungary|IS ISL Iceland|IN IND India
ID IDN Indonesia|IR IRN Iran, Islamic Republic of|IQ IRQ Iraq|IE IRL Ireland|IM IMN Isle of Man|IL ISR Israel
IT ITA Italy|JM JAM Jamaica|JP JPN Japan|JE JEY Jersey|JO JOR Jordan|KZ KAZ Kazakhstan|KE KEN Kenya|KI KIR Kiribati
KP PRK Korea, Democratic People's Republic of|KR KOR Korea, Republic of|XK XKX Kosovo|KW KWT Kuwait
KG KGZ Kyrgyzstan|LA LAO Lao People's Democratic Republic|LV LVA Latvia|LB LBN Lebanon|LS LSO Lesotho|LR LBR Liberia
LY LBY Libya|LI LIE Liechtenstein|LT LTU Lithuania|LU LUX Luxembourg|MO MAC Macao|MK MKD Macedonia|MG MDG Madagascar
MW MWI Malawi|MY MYS Malaysia|MV MDV Maldives|ML MLI Mali|MT MLT Malta|MH MHL Marshall Islands|MQ MTQ Martinique
MR MRT Mauritania|MU MUS Mauritius|YT MYT Mayotte|MX MEX Mexico|FM FSM Micronesia|MD MDA Moldova|MC MCO Monaco
MN MNG Mongolia|ME MNE Montenegro|MS MSR Montserrat|MA MAR Morocco|MZ MOZ Mozambique|MM MMR Myanmar|NA NAM Namibia
NR NRU Nauru|NP NPL Nepal|NL NLD Netherlands|NC NCL New Caledonia|NZ NZL New Zealand|NI NIC Nicaragua|NE NER Niger
NG NGA Nigeria|NU NIU Niue|NF NFK Norfolk Island|MP MNP Northern Mariana Islands|NO NOR Norway|OM OMN Oman
PK PAK Pakistan|PW PLW Palau|PS PSE Palestinian Territory|PA PAN Panama|PG PNG Papua New Guinea|PY PRY Paraguay
PE PER Peru|PH PHL Philippines|PN PCN Pitcairn|PL POL Poland|PT PRT Portugal|PR PRI Puerto Rico|QA QAT Qatar
RE REU Reunion|RO ROU Romania|RU RUS Russia|RW RWA Rwanda|BL BLM Saint Barthelemy|SH SHN Saint Helena
KN KNA Saint Kitts and Nevis|LC LCA Saint Lucia|MF MAF Saint Martin|PM SPM Saint Pierre and Miquelon
VC VCT Saint Vincent and the Grenadines|WS WSM Samoa|SM SMR San Marino|ST STP Sao Tome and Principe
SA SAU Saudi Arabia|SN SEN Senegal|RS SRB Serbia|SC SYC Seychelles|SL SLE Sierra Leone|SG SGP Singapore
SX SXM Sint Maarten|SK SVK Slovakia|SI SVN Slovenia|SB SLB Solomon Islands|SO SOM Somalia|ZA ZAF South Africa
GS SGS South Georgia and the South Sandwich Islands|SS SSD South Sudan|ES ESP Spain|LK LKA Sri Lanka|SD SDN Sudan
SR SUR Suriname|SJ SJM Svalbard and Jan Mayen|SZ SWZ Swaziland|SE SWE Sweden|CH CHE Switzerland|SY SYR Syria
TW TWN Taiwan|TJ TJK Tajikistan|TZ TZA Tanzania|TH THA Thailand|TL TLS Timor-Leste|TG TGO Togo|TK TKL Tokelau
TO TON Tonga|TT TTO Trinidad and Tobago|TN TUN Tunisia|TR TUR Turkey|TM TKM Turkmenistan
TC TCA Turks and Caicos Islands|TV TUV Tuvalu|UG UGA Uganda|UA UKR Ukraine|AE ARE United Arab Emirates
GB GBR United Kingdom|UM UMI United States Minor Outlying Islands|US USA United States of America|UY URY Uruguay
UZ UZB Uzbekistan|VU VUT Vanuatu|VE VEN Venezuela|VN VNM Vietnam|VG VGB Virgin Islands, British
VI VIR Virgin Islands, US|WF WLF Wallis and Futuna|EH ESH Western Sahara|YE YEM Yemen|ZM ZMB Zambia|ZW ZWE Zimbabwe
"""
"""Code of two letters, code of three letters, Campaign Monitor's name."""

_COMMON_NAMES = """
Bolivia=Bolivia, Plurinational State of; Plurinational State of Bolivia
Brunei Darussalam=Brunei
Cape Verde=Cabo Verde
Congo=Republic of the Congo; Congo-Brazzaville
Congo, The Democratic Republic of The=Democratic Republic of the Congo; DR Congo; DRC; Congo-Kinshasa
Cote D'Ivoire=Ivory Coast
Czech Republic=Czechia
Falkland Islands (Malvinas)=Falkland Islands
Holy See (Vatican City State)=Vatican; Vatican City; Holy See
Iran, Islamic Republic of=Iran; Islamic Republic of Iran
Korea, Democratic People's Republic of=North Korea
Korea, Republic of=South Korea; Republic of Korea
Lao People's Democratic Republic=Laos
Macao=Macau
Macedonia=North Macedonia; Republic of North Macedonia
Micronesia=Micronesia, Federated States of; Federated States of Micronesia
Moldova=Moldova, Republic of; Republic of Moldova
Myanmar=Burma
Netherlands=Holland
Palestinian Territory=Palestine; State of Palestine; Palestine, State of; Palestinian Territories
Russia=Russian Federation
Saint Helena=Saint Helena, Ascension and Tristan da Cunha
Saint Martin=Saint Martin (French part)
Sint Maarten=Sint Maarten (Dutch part)
Swaziland=Eswatini
Syria=Syrian Arab Republic
Taiwan=Taiwan, Province of China
Tanzania=Tanzania, United Republic of; United Republic of Tanzania
Timor-Leste=East Timor
Turkey=Türkiye; Turkiye
United Arab Emirates=Emirates
United Kingdom=UK; U.K.; Great Britain; Britain; England; Scotland; Wales; Northern Ireland
United States of America=United States; US of America; America; U.S.; U.S.A.
Venezuela=Venezuela, Bolivarian Republic of; Bolivarian Republic of Venezuela
Vietnam=Viet Nam
Virgin Islands, British=British Virgin Islands
Virgin Islands, US=US Virgin Islands; Virgin Islands, U.S.; United States Virgin Islands
"""
"""Campaign Monitor's name, and others that people write."""

_STATES = """
AL Alabama|AK Alaska|AZ Arizona|AR Arkansas|CA California|CO Colorado|CT Connecticut|DE Delaware
DC District of Columbia|FL Florida|GA Georgia|HI Hawaii|ID Idaho|IL Illinois|IN Indiana|IA Iowa|KS Kansas
KY Kentucky|LA Louisiana|ME Maine|MD Maryland|MA Massachusetts|MI Michigan|MN Minnesota|MS Mississippi|MO Missouri
MT Montana|NE Nebraska|NV Nevada|NH New Hampshire|NJ New Jersey|NM New Mexico|NY New York|NC North Carolina
ND North Dakota|OH Ohio|OK Oklahoma|OR Oregon|PA Pennsylvania|RI Rhode Island|SC South Carolina|SD South Dakota
TN Tennessee|TX Texas|UT Utah|VT Vermont|VA Virginia|WA Washington|WV West Virginia|WI Wisconsin|WY Wyoming
"""
"""Postal code and name."""

_STATE_NAMES = "District of Columbia=Washington DC; Washington, D.C.; D.C."


def country_name(text: str) -> str | None:
    """Return Campaign Monitor's name of the country that a name or ISO 3166 code means; None: it knows none."""
    return _COUNTRY_OF.get(_folded(text))


def state_name(text: str) -> str | None:
    """Return the name of the state that a name or postal code means, "US-" before it or not; None: there is none."""
    folded = _folded(text)
    return _STATE_OF.get(folded) or _STATE_OF.get(folded.removeprefix("us "))


def _folded(text: str) -> str:
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    words = re.sub("[^a-z0-9 ]", " ", re.sub("['.\u2019]", "", plain.casefold().replace("&", " and "))).split()
    return " ".join("saint" if word == "st" else word for word in words if word != "the")


def _read(table: str, codes: int, others: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in table.strip().replace("\n", "|").split("|"):
        *short, name = entry.split(" ", codes)
        found.update({_folded(text): name for text in (*short, name)})
    for line in others.strip().splitlines():
        name, _, texts = line.partition("=")
        found.update({_folded(text): name for text in texts.split(";")})
    return found


_COUNTRY_OF = _read(_COUNTRIES, 2, _COMMON_NAMES)
_STATE_OF = _read(_STATES, 1, _STATE_NAMES)

"""The oracle of the mapping suite gives the worked profile of the mapping functions' definition."""

from benchmarks.mail_oracle import summarise

WHO = {"email": "Ann.Lee+vip@Example.com"}
USERS = [
    WHO
    | {
        "at": "2024-12-01T08:00:00Z",
        "name": "Ann Lee",
        "list_id": "l1",
        "list_name": "Newsletter",
        "status": "Active",
        "client_id": "c1",
        "client_name": "Acme",
    }
]
ACTIVITIES = [
    WHO
    | {
        "at": "2024-12-30T09:00:00Z",
        "event": "sent",
        "campaign_id": "k1",
        "campaign_name": "Year End",
        "list_id": "l1",
        "list_name": "Newsletter",
        "client_id": "c1",
        "client_name": "Acme",
    },
    WHO
    | {
        "at": "2024-12-31T23:30:00Z",
        "event": "open",
        "campaign_id": "k1",
        "cc": "DE",
        "city": "Berlin",
        "region": "BE",
    },
    WHO
    | {
        "at": "2025-01-01T00:10:00Z",
        "event": "click",
        "campaign_id": "k1",
        "url": "https://shop.example.com/sale?utm=x",
    },
    WHO
    | {
        "at": "2024-12-31T23:45:00Z",
        "event": "click",
        "campaign_id": "k1",
        "url": "http://shop.example.com/sale#top",
    },
    WHO | {"at": "2025-01-02T06:00:00Z", "event": "deactivate", "status": "unsubscribe", "list_id": "l1"},
]
PROFILE = {
    "email": "ann.lee+vip@example.com",
    "email_domain": "example.com",
    "cm_name": "Ann Lee",
    "cm_list_ids_status": {"l1": "Active"},
    "cm_list_names_status": {"Newsletter": "Active"},
    "cm_client_ids": ["c1"],
    "cm_client_names": ["Acme"],
    "country_code": "DE",
    "city": "Berlin",
    "region": "BE",
    "cm_sendct": 1,
    "cm_openct": 1,
    "cm_clickct": 2,
    "cm_firstopen_ts": "2024-12-31T23:30:00.000Z",
    "cm_lastopen_ts": "2024-12-31T23:30:00.000Z",
    "cm_firstclick_ts": "2024-12-31T23:45:00.000Z",
    "cm_lastclick_ts": "2025-01-01T00:10:00.000Z",
    "cm_unsub_ts": 1735797600000,
    "last_active_ts": "2025-01-01T00:10:00.000Z",
    "channels": ["email"],
    "cm_campaign_ids": ["k1"],
    "cm_campaign_names": ["Year End"],
    "cm_listids": ["l1"],
    "cm_list_names": ["Newsletter"],
    "cm_email_urls": ["http://shop.example.com/sale#top", "https://shop.example.com/sale?utm=x"],
    "cm_email_event": {"sent": 1, "open": 1, "click": 2, "deactivate": 1},
    "hashedurls": {"-296006325275277539": 2},
    "cm_hourlyopen": {"23": 1},
    "cm_hourofweek": {"71": 1},
    "cm_monthly": {"2412": 1},
}


def test_the_worked_profile() -> None:
    assert summarise(USERS, ACTIVITIES) == PROFILE

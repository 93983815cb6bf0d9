"""The faults that this system must survive, what each must come to, and the tests that play it.

`tests` are node ids below tests/, without parameters; a folder or a file names all of its tests. `missing` says
what of the fault no test plays yet; empty: nothing. docs/faults.md is made from this table and the last run of
`make faults`: `python -m tests.faults.table`.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """One fault."""

    number: int
    what: str
    passes: str
    tests: tuple[str, ...] = ()
    missing: str = ""


BATCHES, EDGES, EXPORT, IMPORT = "faults/batches/", "faults/edges/", "faults/export/", "faults/importer/"
API, AGGREGATOR, RECEIVER = (
    EXPORT + "test_campaign_monitor.py::",
    "integration/profile/test_aggregator.py::",
    "component/webhook/test_receiver.py::",
)

FAULTS = (
    Fault(
        1,
        "A worker is killed at a random instant",
        "exact; caught up within 45 s",
        (
            BATCHES + "test_random_kills.py",
            EXPORT + "test_worker_kills.py::test_killed_at_random",
            "faults/profile/test_random_kills.py",
        ),
    ),
    Fault(
        2,
        "A worker is killed at every named boundary between two effects",
        "exact; a repeated call is the same or newer",
        (
            BATCHES + "test_boundaries.py",
            EXPORT + "test_worker_kills.py::test_killed_at_every_boundary",
            "integration/profile/test_kills.py",
        ),
    ),
    Fault(
        3,
        "Killed, started on the same disk, then on an empty one",
        "both tables equal, positions included",
        (
            BATCHES + "test_random_kills.py",
            AGGREGATOR + "test_a_restart_on_the_same_and_on_an_empty_disk_gives_the_same",
        ),
    ),
    Fault(
        4,
        "SIGTERM under load",
        "exit 0 within 10 s; nothing that was folded is delivered again",
        (
            BATCHES
            + "test_membership.py::test_sigterm_under_load_ends_in_order_and_what_was_folded_is_not_delivered_again",
            BATCHES + "test_membership.py::test_sigterm_while_tables_are_restored_ends_in_order",
        ),
    ),
    Fault(
        5,
        "A worker is paused longer than its session",
        "it ends after waking; the newest row of every key stays",
        (BATCHES + "test_pauses.py",),
        "a worker of exports that is paused inside a call",
    ),
    Fault(
        6,
        "All workers killed and their disks empty",
        "exact; due rows are found without a new event",
        (
            "integration/batches/test_tables.py::test_due_rows_are_found_by_index_also_after_a_rebuild",
            "integration/batches/test_tables.py::test_counts_survive_a_restart_and_a_wiped_disk",
        ),
        "with a million rows",
    ),
    Fault(7, "Two hours of load", "memory grows by less than 1 MB a minute; open files constant", (), "all of it"),
    Fault(
        8,
        "The event loop is blocked",
        "not ready; no rebalance without end; exact",
        (
            (
                "integration/batches/test_traps_settings_and_limits.py"
                "::test_trap_f3_an_agent_that_blocks_the_loop_is_seen_by_the_watchdog"
            ),
        ),
        "that /ready says so within five seconds",
    ),
    Fault(
        9,
        "A defect for one record in a thousand",
        "exactly these are dead letters; no agent restarts",
        (BATCHES + "test_bad_records.py::test_a_defect_for_one_record_in_a_thousand_costs_these_records",),
    ),
    Fault(
        10,
        "The broker restarts in order",
        "exact; going again within 20 s, by itself",
        (BATCHES + "test_broker.py", IMPORT + "test_kills.py::test_the_broker_is_restarted"),
    ),
    Fault(
        11,
        "The broker is killed",
        "as above",
        (BATCHES + "test_broker.py", EXPORT + "test_worker_kills.py", EDGES + "test_broker_gone.py"),
    ),
    Fault(12, "The broker is paused and a worker killed meanwhile", "exact", (BATCHES + "test_broker.py",)),
    Fault(13, "One of three brokers is lost, then two", "nothing settles, nothing is lost", (), "all of it"),
    Fault(14, "A slow, lossy or cut network", "exact; no second owner acts", (), "all of it"),
    Fault(
        15,
        "A commit fails, and then there is no traffic",
        "what is settled is committed without new records",
        ("integration/batches/test_traps_a_b_f.py::test_trap_a6_a_failed_commit_is_tried_again_without_new_records",),
    ),
    Fault(
        16,
        "Workers join and leave, again and again",
        "exact; short pauses",
        (BATCHES + "test_membership.py::test_two_workers_that_join_and_leave_again_and_again",),
        "beside an API that takes five seconds a call",
    ),
    Fault(
        17,
        "Topics are missing or not as they must be",
        "exit code 78 before the first record; topic, found, wanted",
        (
            BATCHES + "test_topics.py::test_wrong_topics_end_the_process_with_78_and_one_sentence",
            EDGES + "test_dead_letters.py",
            "integration/kafka/test_admin.py",
        ),
    ),
    Fault(
        18,
        "A source or a changelog was created again",
        "refused with topic and offsets; one command goes on",
        (
            BATCHES + "test_topics.py::test_a_source_created_again_is_refused_and_one_command_continues",
            EDGES + "test_lost_changelog.py",
            EDGES + "test_topics_while_running.py",
        ),
    ),
    Fault(
        19,
        "Retention removed records that nobody had read",
        "an alarm with their number",
        ("integration/batches/test_traps_c_g.py::test_trap_g8_records_removed_unread_are_an_alarm_with_a_count",),
    ),
    Fault(
        20,
        "The importer is killed in an open transaction",
        "nothing of the aborted page is folded",
        (IMPORT + "test_kills.py::test_killed_at_random", IMPORT + "test_webhook_to_profile.py"),
    ),
    Fault(
        21,
        "A transactional topic at rest",
        "lag 0; the watchdog is silent",
        (
            BATCHES + "test_transactions.py",
            "integration/kafka/test_lag.py::test_a_transactional_topic_at_rest_has_no_lag",
        ),
    ),
    Fault(
        22,
        "The dead-letter topic takes no writes",
        "nothing settles; an alarm; then exact",
        ("integration/batches/test_publishing.py::test_nothing_settles_while_a_topic_takes_no_writes",),
    ),
    Fault(
        23,
        "One partition stops in silence",
        "the watchdog ends the process",
        (EDGES + "test_turns.py", "unit/batches/test_watchdog.py"),
        "with fetches that a proxy drops",
    ),
    Fault(24, "Half of all events are one person's", "others wait at most twice as long", (), "all of it"),
    Fault(25, "The oldest and the newest broker", "the integration tests are green", (), "all of it"),
    Fault(
        26,
        "Poison of every kind, one in a hundred",
        "dead letters equal the poison by count and bytes; the rest exact",
        (
            BATCHES + "test_bad_records.py::test_one_percent_of_poison_of_every_kind",
            EDGES + "test_odd_input.py::test_poison_of_every_kind_becomes_dead_letters_that_are_shown_as_they_are",
        ),
    ),
    Fault(
        27,
        "Nothing but poison",
        "lag 0 at the end; no restart",
        (BATCHES + "test_bad_records.py::test_twenty_thousand_poison_records_in_a_row_stop_nothing",),
    ),
    Fault(
        28,
        "Records and rows that are too large",
        "refused before writing, with the size; neighbours unaffected",
        (
            EDGES + "test_large_records.py",
            "integration/profile/test_large_records.py",
            "integration/export/test_large_records.py",
            AGGREGATOR + "test_a_profile_that_would_grow_too_large_costs_only_what_makes_it_so",
        ),
    ),
    Fault(
        29,
        "Out of order, contradictory, at one instant",
        "the same end in every order",
        (
            "unit/profile/test_fold.py::test_order_pieces_and_repetition_do_not_matter",
            EXPORT + "test_model.py",
        ),
    ),
    Fault(
        30,
        "Every event several times",
        "exact",
        ("unit/batches/test_folding.py::test_any_cut_and_any_replay_gives_the_same_rows", EXPORT + "test_model.py"),
        "spread over rebalances of real workers",
    ),
    Fault(
        31,
        "Events of the future, of 1970, without a date",
        "the stated rule",
        ("unit/profile/test_fold.py::test_a_future_time_counts_as_its_arrival",),
    ),
    Fault(32, "The clock jumps by an hour", "no stall, no early retry", (), "all of it"),
    Fault(
        33,
        "Another partitioner upstream, or another key",
        "counted and published under its own key; one row for each person",
        (
            AGGREGATOR + "test_records_under_a_wrong_key_reach_their_person",
            "integration/profile/test_partitions.py",
            "integration/export/test_partitions.py",
        ),
    ),
    Fault(
        34,
        "Unknown fields; records of older and newer releases",
        "no dead letters; kept where the contract says so",
        (
            "unit/schemas/test_messages.py::test_unknown_fields_are_no_error",
            EDGES + "test_dead_letters.py::test_a_command_of_a_newer_release_stops_no_export",
        ),
        "a stored corpus of every released version",
    ),
    Fault(
        35,
        "A wrong mapping file, and one that changes",
        "refused with line and column; the change gives what a rebuild gives",
        (
            "unit/mapping/test_parse.py::test_errors_say_where_and_what",
            "integration/profile/test_moves.py::test_mappings_change_by_a_rebuild",
        ),
    ),
    Fault(
        36,
        "429, with and without a time, for all or for one address",
        "one request a window; others go on",
        (
            API + "test_what_passes_is_waited_for",
            API + "test_a_throttled_address_waits_alone",
            (
                "integration/campaign_monitor/test_faults_and_credentials.py"
                "::test_an_announced_limit_costs_hardly_a_refusal"
            ),
        ),
    ),
    Fault(
        37,
        "Three of ten answers are 5xx, HTML or empty",
        "exact; few requests for each change",
        (
            API + "test_what_passes_is_waited_for",
            "integration/campaign_monitor/test_faults_and_credentials.py::test_persisting_through_a_bad_half_minute",
        ),
    ),
    Fault(
        38,
        "Campaign Monitor is away for long",
        "consumption goes on; then net changes only",
        (EXPORT + "test_model.py",),
        "two hours of it, with memory and the latency of profiles",
    ),
    Fault(
        39,
        "Answers are lost after the write was applied",
        "list equal to the model; no automation twice",
        (
            API + "test_an_unknown_outcome_does_not_mail_twice",
            EXPORT + "test_worker_kills.py::test_killed_at_random",
        ),
    ),
    Fault(
        40,
        "Answers that are cut, slow, no JSON, or redirects",
        "classed, bounded by the deadline",
        ("component/campaign_monitor/test_odd_servers.py", "component/campaign_monitor/test_broken_connections.py"),
    ),
    Fault(
        41,
        "An import with refused rows",
        "each its code; the others delivered once",
        (API + "test_bad_rows_of_an_import_are_settled_each", API + "test_an_import_that_is_not_understood_is_halved"),
    ),
    Fault(
        42,
        "A token expires with calls under way",
        "one refresh; nothing lost",
        (
            API + "test_an_expired_token_is_refreshed_once_and_nothing_is_lost",
            "integration/campaign_monitor/test_faults_and_credentials.py::test_ten_requests_in_flight_make_one_refresh",
            (
                "integration/export/test_authorization_story.py"
                "::test_processes_refresh_once_and_a_rename_meanwhile_loses_no_token"
            ),
        ),
        "a process that is killed between refresh and storing",
    ),
    Fault(
        43,
        "A token or key is revoked or wrong",
        "halted after one attempt, rows stay due, delivered after the repair",
        (
            API + "test_a_revoked_credential_halts_and_goes_on_after_the_repair",
            API + "test_a_revoked_token_halts_the_job_until_the_account_is_connected_again",
        ),
    ),
    Fault(
        44,
        "Somebody else's id, no permission",
        "this job halts, others go on",
        (
            "integration/campaign_monitor/test_faults_and_credentials.py::test_an_id_of_somebody_else",
            API + "test_a_deleted_list_needs_attention_and_another_list_goes_on",
        ),
    ),
    Fault(
        45,
        "A list is deleted",
        "as above; few requests afterwards",
        (API + "test_a_deleted_list_needs_attention_and_another_list_goes_on",),
    ),
    Fault(
        46,
        "A custom field is deleted, or another type",
        "repaired, or stopped with a sentence; everybody gets their values back",
        (
            API + "test_a_deleted_field_is_made_again_and_everybody_gets_their_values_back",
            API + "test_a_field_of_another_type_stops_the_job_with_a_sentence",
        ),
    ),
    Fault(
        47,
        "People who unsubscribed, bounced, are suppressed or deleted",
        "a receipt with the code; nobody made active again",
        (
            API + "test_who_left_is_refused_and_stays_away",
            API + "test_who_left_gets_nothing_new_but_what_is_no_longer_true_is_taken_away",
            EXPORT + "test_worker_kills.py::test_killed_at_random",
        ),
    ),
    Fault(
        48,
        "Values that Campaign Monitor does not take",
        "a result for the row; neighbours delivered",
        (API + "test_bad_rows_of_an_import_are_settled_each", "component/campaign_monitor/test_odd_servers.py"),
    ),
    Fault(49, "An add is not visible at once", "nothing is sent again within the delay", (), "all of it"),
    Fault(50, "One request a second", "the allowed rate is used, batches are full", (), "all of it"),
    Fault(
        51,
        "The same post again and again",
        "counted once",
        (
            IMPORT + "test_webhook_to_profile.py",
            AGGREGATOR + "test_nothing_is_counted_twice_and_nothing_written_when_nothing_changed",
        ),
    ),
    Fault(
        52,
        "Forged and hostile posts",
        "refused; no records; memory bounded; others wait at most twice as long",
        (
            EDGES + "test_strangers.py",
            RECEIVER + "test_what_is_not_genuine_is_refused_and_leaves_nothing",
            "component/webhook/test_bounds.py",
        ),
    ),
    Fault(53, "A genuine body, replayed by somebody", "no changes", (), "all of it"),
    Fault(
        54,
        "The broker is away while posts come",
        "never 2xx; what was 2xx is in the topic",
        (IMPORT + "test_receiver_kills.py", RECEIVER + "test_a_broker_that_does_not_take_them_is_503"),
    ),
    Fault(
        55,
        "The receiver is killed in a post",
        "as above",
        (IMPORT + "test_receiver_kills.py",),
    ),
    Fault(
        56,
        "Many large posts at once",
        "answered; all events arrive",
        (RECEIVER + "test_many_posts_at_once_are_all_answered",),
    ),
    Fault(
        57,
        "A webhook is switched off or deleted",
        "created again; its gap is filled",
        (
            (
                "integration/webhook/test_webhooks.py"
                "::test_a_webhook_that_was_switched_off_is_switched_on_and_its_gap_is_filled"
            ),
        ),
    ),
    Fault(
        58,
        "Our own writes come back",
        "nothing is counted, nothing is sent",
        (
            "integration/webhook/test_webhooks.py::test_own_writes_are_marked_as_echoes",
            "unit/profile/test_fold.py::test_the_echo_of_our_own_write_changes_no_field",
        ),
        "ten thousand of them, from end to end",
    ),
    Fault(
        59,
        "An address changes, and a kill in between",
        "both rows as specified",
        ("integration/profile/test_moves.py", EXPORT + "test_addresses.py"),
    ),
    Fault(
        60,
        "Repeated and missing hours; zones",
        "the stated rule; the text is kept",
        ("unit/importer/test_repeated_hour.py", "unit/importer/test_changed_zone.py"),
    ),
    Fault(
        61,
        "The importer is killed at random and at each boundary of a page",
        "committed records are the account's content",
        (IMPORT + "test_kills.py::test_killed_at_random", IMPORT + "test_plays.py"),
    ),
    Fault(
        62,
        "Subscribers change between pages",
        "the last state of each",
        (
            "integration/importer/test_import.py::test_a_moving_account_and_a_failing_api_lose_and_double_nothing",
            IMPORT + "test_plays.py",
        ),
    ),
    Fault(
        63, "Two importers on one task", "one is fenced", (IMPORT + "test_kills.py::test_a_paused_process_is_fenced",)
    ),
    Fault(64, "A large import beside live traffic", "live events wait at most twice as long", (), "all of it"),
    Fault(
        65,
        "The disk is full",
        "a sentence and the end; exact after there is room",
        (
            BATCHES + "test_disk.py::test_a_full_disk_ends_the_process_with_a_sentence_and_is_made_up_for",
            EDGES + "test_full_disk.py",
        ),
    ),
    Fault(
        66,
        "A store is damaged",
        "rebuilt without a human; exact",
        (BATCHES + "test_disk.py::test_a_damaged_store_is_rebuilt_without_a_human",),
    ),
    Fault(
        67,
        "Two workers on one directory; one that cannot be written",
        "refused with a sentence",
        (
            BATCHES + "test_disk.py::test_two_workers_on_one_directory",
            BATCHES + "test_disk.py::test_a_directory_that_cannot_be_written",
        ),
    ),
    Fault(
        68,
        "Settings that are missing or wrong",
        "the setting is named; nothing half started",
        ("integration/cli/test_odd_input.py", "unit/cli"),
    ),
    Fault(69, "Canary secrets everywhere", "no process shows one", (EDGES + "test_canaries.py",)),
    Fault(
        70,
        "The encryption key is missing or rotated",
        "the authorization is named; old ones are read with the old key",
        (
            "unit/control/test_crypto.py::test_a_missing_key_names_the_authorization_and_both_keys",
            "integration/control/test_control.py::test_keys_rotate",
        ),
    ),
    Fault(71, "Lag against the truth, during faults", "at most one commit interval off", (), "all of it"),
    Fault(72, "An upgrade and a rollback under load", "exact both ways", (), "all of it"),
    Fault(
        73,
        "Profiles rebuilt from the topics",
        "equal byte by byte",
        ("integration/profile/test_moves.py::test_mappings_change_by_a_rebuild",),
    ),
    Fault(
        74,
        "Dead letters replayed after the cause is gone",
        "none left; as if it had never failed",
        ("integration/cli/test_replay.py", "integration/demo/test_first_hour.py"),
    ),
    Fault(
        75,
        "Partitions are added while workers run",
        "the processes end with a sentence; rows go on by one command",
        (EDGES + "test_workers.py", EDGES + "test_more_partitions.py", EDGES + "test_topics_while_running.py"),
    ),
    Fault(
        76,
        "A mapping file whose names are meant to become code",
        "they never do",
        (EDGES + "test_odd_input.py::test_a_mapping_file_is_never_code", "unit/mapping/test_generated_source.py"),
    ),
    Fault(
        77,
        "What an alert is about is broken, and repaired",
        "each alert fires and clears",
        ("faults/operations",),
    ),
)

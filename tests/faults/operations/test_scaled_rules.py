"""What a test changes of the deployed rules is their time, and nothing else."""

import re

import yaml

from tests.faults.operations.scaled_rules import RULES, scaled_rules


def rules(text):
    (group,) = yaml.safe_load(text)["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def without_times(rule):
    blanked = re.sub(r"\[\w+\]|(?<=_seconds\) > )[\d.]+", "", rule["expr"])
    return {**rule, "expr": blanked, "for": ""}


def test_only_times_are_scaled():
    text = RULES.read_text(encoding="utf-8")
    deployed, scaled = rules(text), rules(scaled_rules(text))
    assert list(map(without_times, deployed.values())) == list(map(without_times, scaled.values()))
    assert scaled["CmStreamsLagHigh"]["for"] == "5000ms"
    assert scaled["CmStreamsLagHigh"]["expr"].endswith("(cm_streams_consumer_lag_seconds) > 5")
    assert "[60000ms]" in scaled["CmStreamsImportFailing"]["expr"]
    assert scaled["CmStreamsTokenNotRefreshed"]["expr"] == deployed["CmStreamsTokenNotRefreshed"]["expr"]
    shortest = min(float(found) for rule in scaled.values() for found in re.findall(r"\[(\d+)ms\]", rule["expr"]))
    assert shortest >= 4 * 500, "a rate needs two samples, also when one is late"

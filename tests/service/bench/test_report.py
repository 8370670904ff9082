import pytest

from service.bench.load import Outcome, Sample
from service.bench.report import Latencies, report_on


def sample(due: float, seconds: float, status: int = 200, **fields: object) -> Sample:
    values = {"due": due, "sent": due, "finished": due + seconds, "status": status, **fields}
    return Sample(**values)  # type: ignore[arg-type]


def test_percentiles_are_values_that_were_measured() -> None:
    found = Latencies.of([number / 1000 for number in range(1000, 0, -1)])
    assert found == Latencies(count=1000, p50=501, p90=901, p99=991, p999=1000, highest=1000)


def test_of_nothing_all_is_nought() -> None:
    assert Latencies.of([]) == Latencies(count=0, p50=0, p90=0, p99=0, p999=0, highest=0)


def test_report_leaves_out_the_warm_up_and_counts_goodput_by_the_deadline() -> None:
    outcome = Outcome(
        samples=[
            sample(0.5, 9.0),
            sample(1.0, 0.1),
            sample(2.0, 0.3),
            sample(5.9, 0.15),
            sample(3.0, 0.01, 429, has_retry_after=True),
            sample(4.0, 0.02, 429),
            sample(5.0, 0.5, 0, failure="lost"),
        ],
        load_seconds=6.0,
        seconds=9.5,
        client_cpu_seconds=1.5,
    )
    report = report_on(outcome, warm_up_seconds=1.0, deadline_seconds=0.2)
    assert report.statuses == {"none": 1, "200": 3, "429": 2}
    assert report.failures == {"lost": 1}
    assert report.seconds == pytest.approx(5.0)
    assert report.rate == pytest.approx(6 / 5)
    assert report.goodput == pytest.approx(1 / 5)  # one was too late, one came after the end
    assert report.refusals_without_retry_after == 1
    assert report.succeeded.count == 3
    assert report.succeeded.highest == pytest.approx(300)
    assert report.refused.p50 == pytest.approx(20)
    assert report.client_cpu_share == pytest.approx(1.5 / 9.5)


def test_lines_tell_what_the_json_does() -> None:
    outcome = Outcome(samples=[sample(0.0, 0.25), sample(1.0, 0.25)], load_seconds=2.0, seconds=2.0)
    report = report_on(outcome)
    text = "\n".join(report.lines())
    assert "2 x 200" in text
    assert "goodput 1.0 /s" in text
    assert "succeeded  p50 250.0" in text
    assert "refused    none" in text
    assert report.as_json()["statuses"] == {"200": 2}

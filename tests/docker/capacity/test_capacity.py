"""The simulation against what can be said by hand, and the command around it."""

import dataclasses
import random
from pathlib import Path

import pytest

from docker.capacity.__main__ import find_limits, main, table, with_device_rate
from docker.capacity.costs import Costs, Fleet, capacities, read_costs, write_costs
from docker.capacity.simulation import Outcome, simulate

COSTS = Costs(
    loop_seconds=0.002,
    decode_seconds=0.001,
    encode_seconds=0.003,
    batch_seconds=0.004,
    item_seconds=0.001,
    redis_seconds=0.00001,
    request_bytes=4000,
    reply_bytes=10_000,
    source="made up",
)


def run(costs: Costs, fleet: Fleet, *, rate: float, number: int = 2000) -> Outcome:
    return simulate(
        costs, fleet, requests_per_second=rate, num_requests=number, rng=random.Random(1)
    )


def test_capacities_are_what_one_reckons_by_hand() -> None:
    found = capacities(COSTS, Fleet(num_gpus=250, codec_cores=2, max_batch_size=4))

    assert found == pytest.approx(
        {
            "device": 250 / (0.001 + 0.004 / 4),
            "codec cores": 250 * 2 / 0.004,
            "event loop": 250 / 0.002,
            "network": 3 * 25e9 / (8 * 10_000),  # 250 behind balancers for 100 each
            "Redis": 1 / 0.00001,
        }
    )


def test_lonely_request_takes_the_sum_of_its_stages() -> None:
    fleet = Fleet(num_gpus=1)
    found = run(COSTS, fleet, rate=0.5, number=50)

    wire_seconds = (4000 + 10_000) * 8 / 25e9
    stages = 0.00001 + 0.002 + 0.001 + 0.004 + 0.001 + 0.003 + wire_seconds
    assert found.percentile(0.5) == pytest.approx(stages)
    assert found.refused == 0


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"redis_seconds": 0.01}, "Redis"),
        ({"decode_seconds": 0.1}, "codec cores"),
        ({"loop_seconds": 0.1}, "event loop"),
        ({"item_seconds": 0.1}, "device"),
        ({"reply_bytes": 30e6}, "network"),
    ],
)
def test_part_that_limits_is_busy_all_the_time_and_no_more_is_answered(
    changes: dict[str, float], limit: str
) -> None:
    costs, fleet = dataclasses.replace(COSTS, **changes), Fleet(num_gpus=3, queue_capacity=64)
    most = capacities(costs, fleet)[limit]
    found = run(costs, fleet, rate=1.5 * most)

    assert min(capacities(costs, fleet), key=capacities(costs, fleet).__getitem__) == limit
    # The network has two ways, and it is the one outwards that is full.
    busy = found.busy[limit] * (2 if limit == "network" else 1)
    assert busy > 0.9
    assert found.answered == pytest.approx(most, rel=0.1)


def test_below_every_limit_all_is_answered_as_it_comes() -> None:
    fleet = Fleet(num_gpus=4)
    rate = 0.5 * min(capacities(COSTS, fleet).values())
    found = run(COSTS, fleet, rate=rate)

    assert found.refused == 0
    assert found.answered == pytest.approx(found.offered, rel=0.05)
    assert found.busy["event loop"] == pytest.approx(rate * COSTS.loop_seconds / 4, rel=0.1)


def test_full_queue_refuses_instead_of_letting_wait() -> None:
    fleet = Fleet(num_gpus=1, queue_capacity=8)
    found = run(COSTS, fleet, rate=3 * min(capacities(COSTS, fleet).values()))

    assert found.refused > 0.5
    # Eight at the narrowest place, and the other stages.
    assert found.percentile(1) < 8 * max(COSTS.loop_seconds, COSTS.item_seconds) + 0.05


def test_device_of_a_rate_has_it_in_full_batches() -> None:
    fleet = Fleet(num_gpus=1)

    assert capacities(with_device_rate(COSTS, fleet, 300), fleet)["device"] == pytest.approx(300)


def test_costs_are_read_as_they_were_written_and_else_refused(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    write_costs(path, COSTS)
    assert read_costs(path) == COSTS

    path.write_text(path.read_text("utf-8").replace("0.003", '"fast"'), "utf-8")
    with pytest.raises(ValueError, match="encode_seconds is 'fast'; it must be a number"):
        read_costs(path)
    path.write_text('{"loop_seconds": 1}', "utf-8")
    with pytest.raises(ValueError, match="exactly batch_seconds, decode_seconds"):
        read_costs(path)


def test_command_prints_a_row_for_each_fleet_and_draws_a_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, drawn = tmp_path / "costs.json", tmp_path / "limits.png"
    write_costs(path, COSTS)
    arguments = [str(path), "--gpus", "2", "3", "--device-rates", "100", "--requests", "300"]

    assert main([*arguments, "--plot", str(drawn)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["2", "3"]
    assert drawn.read_bytes().startswith(b"\x89PNG")


def test_table_names_the_first_limit() -> None:
    findings = find_limits(COSTS, [2], [100], share=0.7, num_requests=300, codec_cores=4)

    assert "| 2 | 100 | device | 200 |" in table(findings)

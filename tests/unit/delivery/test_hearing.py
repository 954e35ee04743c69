"""When clients that nobody could hear are given time to speak up again."""

from dispatcher.delivery.hearing import Hearing


def test_after_a_long_silence_once() -> None:
    hearing = Hearing()
    assert not hearing.regained(100.0, 100.0, 100.0)
    for now in range(101, 160):
        assert not hearing.regained(100.0, now, now), "nobody is heard yet"
    assert hearing.regained(159.9, 160.0, 160.0)
    assert not hearing.regained(160.2, 160.25, 160.25)


def test_a_short_silence_is_none() -> None:
    hearing = Hearing()
    for now in range(100, 105):
        hearing.regained(100.0, now, now)
    assert not hearing.regained(104.0, 105.0, 105.0)


def test_who_hears_late_but_all_the_time_is_not_deaf() -> None:
    """Otherwise no lease would ever end where the log is read with a delay."""
    hearing = Hearing()
    assert not any(hearing.regained(now - 60.0, now, now) for now in range(100, 400))


def test_a_clock_that_leaps_is_no_silence() -> None:
    hearing = Hearing()
    assert not any(hearing.regained(now, now, now) for now in (100.0, 100.0, 2_000.0, 2_000.0, 50.0))


def test_a_moment_that_is_told_with_a_little_noise_is_the_same_moment() -> None:
    """Kafka's tail works it out from two clocks."""
    hearing = Hearing()
    hearing.regained(100.0, 100.0, 100.0)
    assert not any(
        hearing.regained(100.0 + tick % 3 * 1e-6, 100 + tick * 0.25, 100 + tick * 0.25) for tick in range(1, 40)
    )
    assert hearing.regained(110.0, 110.25, 110.25)


def test_steady_progress_in_small_steps_is_no_silence() -> None:
    hearing = Hearing()
    assert not any(hearing.regained(100 + tick * 0.25, 100.1 + tick * 0.25, 100.1 + tick * 0.25) for tick in range(100))


def test_a_clock_that_is_set_forward_is_no_silence() -> None:
    hearing = Hearing()
    assert not hearing.regained(0.0, 100.0, 10.0)
    assert not hearing.regained(0.0, 161.0, 10.25)
    assert not hearing.regained(160.9, 161.0, 10.5)


def test_a_start_is_no_silence() -> None:
    hearing = Hearing()
    assert not hearing.regained(0.0, 1_790_000_000.0, 5.0)
    assert not hearing.regained(1_790_000_000.0, 1_790_000_000.3, 5.3)

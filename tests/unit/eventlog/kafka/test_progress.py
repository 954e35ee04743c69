from dispatcher.eventlog.kafka.progress import Progress


def looked(*looks: tuple[int, int | None, int | None]) -> float:
    progress = Progress()
    for look in looks:
        progress.look(*look)
    return progress.caught_up_at


def test_nothing_is_known_before_the_second_answer() -> None:
    assert looked((5, None, None)) == 0
    assert looked((5, 5, 10_000)) == 0


def test_an_answer_proves_what_was_so_when_the_one_before_it_came() -> None:
    assert looked((5, 5, 10_000), (5, 5, 11_000)) == 10


def test_looking_twice_at_one_answer_proves_nothing_more() -> None:
    assert looked((5, 5, 10_000), (5, 5, 11_000), (5, 5, 11_000), (5, 5, 11_000)) == 10


def test_a_process_that_slept_does_not_take_an_old_answer_for_a_new_one() -> None:
    assert looked((5, 5, 10_000), (5, 5, 10_100), (5, 5, 70_000)) == 10.1


def test_behind_it_stands_still_until_the_watermark_of_then_is_reached() -> None:
    progress = Progress()
    for look in ((5, 5, 10_000), (5, 5, 11_000), (5, 9, 12_000), (5, 20, 13_000), (8, 30, 14_000)):
        progress.look(*look)
    assert progress.caught_up_at == 10
    progress.look(9, 40, 15_000)
    assert progress.caught_up_at == 11, "9 was the end when the answer of 11 had come"


def test_under_steady_load_it_moves_on_though_the_end_is_never_reached() -> None:
    progress = Progress()
    for second in range(1, 100):
        progress.look(second * 10 - 25, second * 10, second * 1000)
    assert progress.caught_up_at >= 90

"""How long nobody has answered, whatever became of those who asked."""

import pytest

from dispatcher.eventlog.kafka.silence import Silence


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def silence(clock: Clock) -> Silence:
    return Silence(clock)


def test_who_has_asked_nothing_hears_enough(silence: Silence) -> None:
    assert silence.seconds == 0


def test_silence_lasts_from_the_first_question_on(silence: Silence, clock: Clock) -> None:
    silence.asked()
    clock.now += 7
    silence.asked()
    clock.now += 2
    assert silence.seconds == 9


def test_any_answer_ends_it_and_what_is_still_open_waits_anew(silence: Silence, clock: Clock) -> None:
    silence.asked()
    silence.asked()
    clock.now += 9
    silence.over(answered=True)
    assert silence.seconds == 0
    clock.now += 3
    assert silence.seconds == 3
    silence.over(answered=True)
    clock.now += 100
    assert silence.seconds == 0


def test_questions_given_up_say_nothing_until_the_next_one(silence: Silence, clock: Clock) -> None:
    silence.asked()
    clock.now += 10
    silence.over(answered=False)
    assert silence.seconds is None, "nobody waits"
    clock.now += 10
    silence.asked()
    assert silence.seconds == 20
    silence.over(answered=True)
    assert silence.seconds == 0

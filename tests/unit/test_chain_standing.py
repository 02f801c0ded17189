"""How an endpoint stands: reproaches and what they cost it, speed, and how far it is behind."""

from chainwatch.chain.standing import QUARANTINE_S, Standing


def test_a_new_endpoint_stands_under_no_reproach_and_nothing_is_known_of_it() -> None:
    health = Standing().health("node", 0.0)
    assert (health.failures, health.last_error, health.resting) == (0, None, False)
    assert (health.quarantined, health.latency_ms, health.lag, health.head) == (None,) * 4


def test_who_fails_again_and_again_rests_longer_up_to_a_minute() -> None:
    standing = Standing()
    rests = []
    for _ in range(100):
        standing.failed("no", 0.0)
        rests.append(next(s for s in range(1, 100) if not standing.rests(float(s))))
    assert rests[:6] == [2, 4, 8, 16, 32, 60]
    assert rests[-1] == 60


def test_a_later_and_milder_reproach_shortens_no_rest() -> None:
    standing = Standing()
    standing.distrusted("it contradicted itself", 0.0)
    standing.answered(0.1)
    standing.failed("no", 0.0)
    assert standing.rests(29.9)


def test_a_quarantine_ends_in_a_probation_of_the_same_length() -> None:
    standing = Standing()
    standing.quarantined("it left out a log", 100.0)
    in_it, after = 100.0 + QUARANTINE_S - 1, 100.0 + QUARANTINE_S
    assert standing.in_quarantine(in_it)
    assert standing.health("node", in_it).quarantined == "it left out a log"
    assert not standing.in_quarantine(after)
    assert standing.health("node", after).quarantined is None
    assert standing.on_probation(after)
    assert not standing.on_probation(after + QUARANTINE_S)


def test_an_answer_lifts_no_quarantine() -> None:
    standing = Standing()
    standing.quarantined("it left out a log", 0.0)
    standing.answered(0.1)
    assert standing.in_quarantine(1.0)


def test_latency_follows_the_last_answers_without_jumping_to_one() -> None:
    standing = Standing()
    told = []
    for took in (0.01, 0.11, *[0.11] * 50):
        standing.answered(took)
        told.append(standing.health("node", 0.0).latency_ms)
    assert told[:2] == [10, 30]
    assert told[-1] == 110


def test_lag_is_told_as_of_the_last_word_and_forgotten_after_a_minute() -> None:
    standing = Standing()
    standing.saw_head(90, highest=100, now=0.0)
    assert standing.lag(59.0) == 10
    assert standing.lag(60.0) is None
    standing.saw_head(101, highest=100, now=61.0)
    assert standing.lag(61.0) == 0


def test_others_are_not_measured_by_the_head_of_one_under_reproach() -> None:
    standing = Standing()
    standing.saw_head(10**9, highest=100, now=0.0)
    assert standing.believable_head(0.0) == 10**9
    standing.distrusted("it has no such block", 0.0)
    assert standing.believable_head(1.0) is None
    standing.quarantined("it made up a head", 0.0)
    assert standing.believable_head(QUARANTINE_S + 1) is None


def test_a_head_stands_still_until_it_rises() -> None:
    standing = Standing()
    assert standing.still_for(7.0) == 0.0
    for now, head in enumerate((90, 90, 80, 90)):
        standing.saw_head(head, highest=100, now=float(now))
    assert standing.still_for(10.0) == 7.0

"""Any sequence of orders, cancellations and performed steps leaves the worklist that it should."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dicom.mpps import Change, PerformedSeries, Scheduled, Status, Step
from dicom.worklist import STEPS, State
from storage.ledger.ledger import Ledger
from storage.ledger.worklist import Draft, Narrowing, Order

DAY = "ScheduledProcedureStepStartDate"
ORDERS = st.sampled_from(["P1", "P2"])
STEP_IDS = st.sampled_from(["S1", "S2"])
DAYS = st.sampled_from(["20260706", "20260707"])
OVER = st.sampled_from([Status.COMPLETED, Status.DISCONTINUED])


class Orders(RuleBasedStateMachine):
    """A ledger beside a plain dictionary: order and step to day, state and performed step."""

    def __init__(self):
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger.open(Path(self._folder.name))
        self.model = {}
        self.open = {}
        self.begun = 0
        self.now = 1.0

    def teardown(self):
        self.ledger.close()
        self._folder.cleanup()

    @rule(order=ORDERS, step=STEP_IDS, day=DAYS)
    def say(self, order, step, day):
        """An order is said, for the first time or once more."""
        self.now += 1
        item = {
            "PatientName": "X", "PatientID": "1", "StudyInstanceUID": f"1.{order[1]}",
            "RequestedProcedureID": "R",
            STEPS: [{"Modality": "CT", "ScheduledProcedureStepID": step, DAY: day}],
        }  # fmt: skip
        self.ledger.worklist.put([Draft(item, "hl7", placer=order)], self.now)
        before, state, performed = self.model.get((order, step), (day, State.SCHEDULED, ""))
        if state is State.DISCONTINUED and before != day:
            state = State.SCHEDULED
        self.model[order, step] = (day, state, performed)

    @rule(order=ORDERS, step=st.one_of(st.just(""), STEP_IDS))
    def cancel(self, order, step):
        """An order is taken back, or one step of it."""
        gone = [key for key in self.model if key[0] == order and step in {"", key[1]}]
        assert self.ledger.worklist.cancel([Order(order, "", step)], self.now) == len(gone)
        for key in gone:
            del self.model[key]

    @rule(order=ORDERS, step=STEP_IDS)
    def begin(self, order, step):
        """A scanner begins a step."""
        self.begun += 1
        uid, study = f"9.{self.begun}", f"1.{order[1]}"
        made = Step(Status.IN_PROGRESS, (study,), scheduled=(Scheduled(study, step),))
        self.ledger.steps.create(uid, made, "CT1", self.now)
        self.open[uid] = (order, step)
        if (order, step) in self.model:
            day, _, _ = self.model[order, step]
            self.model[order, step] = (day, State.STARTED, uid)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), over=OVER, is_wrong=st.booleans())
    def end(self, data, over, is_wrong):
        """A scanner ends one of the steps that it has begun."""
        uid = data.draw(st.sampled_from(sorted(self.open)))
        key = self.open.pop(uid)
        series = (PerformedSeries("1.1", ("1.1.1",)),)
        self.ledger.steps.change(uid, Change(over, series, True, is_wrong), self.now)
        day, _, performed = self.model.get(key, ("", State.SCHEDULED, ""))
        if performed == uid:
            state = State.COMPLETED if over is Status.COMPLETED else State.DISCONTINUED
            if is_wrong and state is State.DISCONTINUED:
                state = State.SCHEDULED
            self.model[key] = (day, state, uid)

    @invariant()
    def both_are_the_same(self):
        """Every entry has its day and state, and scanners are told what is still to be done."""
        found = {
            (one.item["StudyInstanceUID"], one.step["ScheduledProcedureStepID"]): one
            for one in self.ledger.worklist.page("", 100)
        }
        kept = {key: (one.step[DAY], one.state) for key, one in found.items()}
        assert kept == {
            (f"1.{order[1]}", step): (day, state)
            for (order, step), (day, state, _) in self.model.items()
        }
        told = list(self.ledger.worklist.candidates(Narrowing()))
        assert [one.step[DAY] for one in told] == sorted(
            day
            for day, state, _ in self.model.values()
            if state in {State.SCHEDULED, State.STARTED}
        )


Orders.TestCase.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
TestOrders = Orders.TestCase

"""Ask a model about a Series, and put its report back in through the spool."""

import os
import time
from datetime import UTC, datetime

from dicom.entity import Arrival, Origin
from dicom.errors import ConfigFault
from dicom.part10 import file_meta
from node.workers.workshop import Done, Workshop
from routing.job import Job
from storage.ledger.events import NewEvent
from storage.spool.deposit import deposit


def infer(job: Job, workshop: Workshop) -> Done:
    """Run one model on one Series; its report becomes an Instance like any other.

    The report is built from the objects as they were received, identity included, because it
    goes back to the PACS that knows the patient. Raises an InferenceFault, Released when the spool
    has let go of part of the Series, or Corrupt when its bytes fail their digest.
    """
    name, rule = job.spec.target, job.spec.rule
    if name not in workshop.settings.models:
        raise ConfigFault([(f"models.{name}", "is owed to but not in the config")])
    workshop.ledger.holdings.require_all(job.spec.series)
    series = []
    for instance in workshop.ledger.receipts.of_series(job.spec.series):
        workshop.check_stop()
        workshop.reader.verify(instance)
        series.append(workshop.reader.view(instance.location))
    # The job's own time, not the clock: a second run of the job makes the same bytes.
    made_at = datetime.fromtimestamp(job.created_at, UTC)
    result = workshop.pool.infer(name, workshop.settings.models[name], series, now=made_at)
    arrival = Arrival(
        sop_class_uid=result.sop_class_uid,
        sop_instance_uid=result.sop_instance_uid,
        transfer_syntax_uid=result.transfer_syntax_uid,
        calling_ae=workshop.settings.node.ae_title,
        called_ae=workshop.settings.node.ae_title,
        association=f"job-{job.id}",
        address="",
        received_at=time.time(),
        origin=Origin.AI,
        rule=rule,
    )
    deposit(
        workshop.reader.root,
        arrival,
        (file_meta(arrival), result.dataset),
        writer=f"job{job.id}-{os.getpid()}",
        key=workshop.reader.keys.current,
    )
    facts = {
        "study": result.study_instance_uid,
        "model": name,
        "rule": rule,
        "result": result.sop_instance_uid,
        "instances": len(series),
    }
    told = NewEvent("penumbra.result.made", job.spec.series.series_instance_uid, facts)
    return Done(f"{len(result.findings)} findings", [told])

"""Questions and retrievals, timed beside an Orthanc that holds the same, and at scale."""

"""From Series to tensors, from tensors to findings, from findings to DICOM."""

"""Where entries of the modality worklist come from: a folder, and orders by HL7."""

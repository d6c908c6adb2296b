"""A pipeline for each specialty: phantom in, results at a PACS, compared with the truth."""

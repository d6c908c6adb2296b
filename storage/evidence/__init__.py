"""The ledger's record of what de-identification did to each object."""

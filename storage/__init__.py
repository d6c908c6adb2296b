"""Where things are kept: spool (truth), ledger (debts), index (answers), destinations."""

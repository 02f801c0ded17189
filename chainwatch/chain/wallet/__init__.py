"""A person's own transactions: an operator who sells machines, a buyer who pays for one."""

// Package history checks what the log of a run says of itself, in the way Jepsen's checker reads a queue: it needs to know
// nothing of what was sent or of what ought to have come out.
//
// It reads every topic twice, with and without the transactions that were aborted, and the group coordinator's own topic,
// which is where offsets really are committed. From the markers it works out by itself what became of each transaction,
// and compares:
//
//	visible  a reader of committed records sees each record of a committed transaction, none of an aborted or open one
//	torn     a transaction ended the same way in every partition, the offsets' included
//	open     no transaction is left without an end
//	lost     every record below a group's committed offset was decided, or is a dead letter
//	twice    none was decided twice
//	apart    a record is decided in the very transaction that moves the group's offset over it; every transaction that
//	         wrote anything moved or held an offset of its group; offsets only grow, and only in transactions
//	version  the versions of an application's state have no gap, and each state is written with the decision that left it
//
// Of this module it imports the wire types only. It needs transaction.version 2, under which each transaction has a producer
// epoch of its own. Memory grows with the number of records, by some tens of bytes each.
package history

package store

// Mark says how current a partition is.
type Mark struct {
	// Offset is the next changelog offset to apply; 0 is an empty partition.
	Offset int64
	// Stamp is when the partition was last known to be current, microseconds
	// since the epoch.
	Stamp int64
	// Now is the highest time any handler of the partition has seen,
	// microseconds since the epoch.
	Now int64
}

type partitionID struct {
	topic [16]byte
	n     int32
}

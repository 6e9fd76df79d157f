package audit

import (
	"encoding/json"
	"io"
	"time"
)

// Record is one record of a topic.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte
	Value     []byte
	Headers   []Header
	Time      time.Time
}

// Header is a record header.
type Header struct {
	Key   string
	Value []byte
}

// Evidence is all that is known of a run. Its functions are called once for each topic, one after the other.
type Evidence struct {
	// World is the world file.
	World io.Reader
	// Records calls visit for every committed record of a topic, each partition in offset order. A record is
	// valid during the call only. A topic that does not exist has no records.
	Records func(topic string, visit func(*Record) error) error
	// Journal calls visit for every entry of the simulators' journals, each in order.
	Journal func(visit func(*Entry) error) error
	// Store calls visit for every application as its instance holds it in the end.
	Store func(visit func(*StoreApplication) error) error
	// Fired is how often each fault of the simulators fired, by name.
	Fired map[string]uint64
	// Committed are the groups' committed offsets.
	Committed map[string]map[TopicPartition]int64
}

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// Entry is one line of the simulator's journal.
type Entry struct {
	// System is the instance whose journal it stands in.
	System      string    `json:"-"`
	Seq         uint64    `json:"seq"`
	Time        time.Time `json:"time"`
	Type        string    `json:"type"` // request or mutation
	Application int64     `json:"application"`
	Kind        string    `json:"kind"`
	RequestID   string    `json:"request_id"`
	Status      int       `json:"status"`
	Actor       *Actor    `json:"actor"`
	From        *View     `json:"from"`
	To          *View     `json:"to"`
	Fault       string    `json:"fault"`
}

// Actor is who acted: human, integration, system or api.
type Actor struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// View is what the ATS holds of an application.
type View struct {
	Stage   int64                      `json:"stage"`
	Status  string                     `json:"status"`
	Reason  int64                      `json:"reason"`
	Fields  map[string]json.RawMessage `json:"fields"`
	Version int64                      `json:"version"`
	// Tags are labels that are no field.
	Tags []string `json:"tags"`
}

// StoreApplication is an application as the ATS holds it.
type StoreApplication struct {
	System  string                     `json:"-"` // the instance that holds it
	ID      int64                      `json:"id"`
	StageID int64                      `json:"stage_id"`
	Status  string                     `json:"status"`
	Reason  int64                      `json:"rejection_reason_id"`
	Fields  map[string]json.RawMessage `json:"fields"`
}

func (a *StoreApplication) view() View {
	return View{Stage: a.StageID, Status: a.Status, Reason: a.Reason, Fields: a.Fields}
}

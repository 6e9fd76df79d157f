package world

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// header is the first line of a world file.
type header struct {
	Kind         string    `json:"kind"` // "world"
	Seed         uint64    `json:"seed"`
	Start        time.Time `json:"start"`
	Margin       string    `json:"margin"`
	Applications int       `json:"applications"`
	Steps        int       `json:"steps"`
}

// delivery is one planned step as a line of the world file.
type delivery struct {
	Kind        string    `json:"kind"` // "delivery"
	Wave        int       `json:"wave"`
	Via         string    `json:"via"` // kafka, ats, webhook
	Application string    `json:"application,omitempty"`
	Topic       string    `json:"topic,omitempty"`
	Source      string    `json:"source,omitempty"`
	ID          string    `json:"id,omitempty"`
	Type        string    `json:"type,omitempty"`
	OccurredAt  time.Time `json:"occurred_at,omitzero"`
	Duplicate   bool      `json:"duplicate,omitempty"`
	Late        bool      `json:"late,omitempty"`
	Cause       string    `json:"dead_letter,omitempty"` // the cause it must be dead-lettered for
	Digest      string    `json:"digest,omitempty"`      // of key and value: see Digest
	Action      *Action   `json:"action,omitempty"`
	When        *Shown    `json:"when,omitempty"`
}

// Digest names a record by key and value: the first 16 bytes of SHA-256 over key, a zero byte and value, in hex.
func Digest(key, value []byte) string {
	h := sha256.New()
	h.Write(key)
	h.Write([]byte{0})
	h.Write(value)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// WriteFile writes the world as JSON lines.
func (w *World) WriteFile(out io.Writer) error {
	buf := bufio.NewWriterSize(out, 256<<10)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	lines := []any{header{"world", w.Seed, w.Start, w.Margin.String(), len(w.Applications), len(w.Steps)}}
	for _, e := range Edges() {
		lines = append(lines, e)
	}
	for i := range w.Instances {
		in := &w.Instances[i]
		for _, s := range Stages() {
			s.System, s.ID = in.System, in.id(IDStage, s.Native)
			lines = append(lines, s)
		}
		for _, n := range Reasons() {
			lines = append(lines, Reason{"reason", in.System, n, in.id(IDReason, n)})
		}
	}
	for i := range w.Applications {
		lines = append(lines, &w.Applications[i])
	}
	for i := range w.Steps {
		lines = append(lines, w.Steps[i].line())
	}
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return fmt.Errorf("write world file: %w", err)
		}
	}
	if err := buf.Flush(); err != nil {
		return fmt.Errorf("write world file: %w", err)
	}
	return nil
}

// line is the step as the world file has it.
func (s *Step) line() delivery {
	d := delivery{
		Kind: "delivery", Wave: s.Wave, Application: s.Application, Source: s.Source, ID: s.ID, Type: s.Type, OccurredAt: s.OccurredAt,
		Duplicate: s.Duplicate, Late: s.Late, Cause: string(s.Cause), Action: s.Action, When: s.When,
	}
	switch {
	case s.Message != nil:
		d.Via, d.Topic, d.Digest = "kafka", s.Message.Topic, Digest([]byte(s.Message.Key), s.Message.Value)
	case s.Webhook != nil:
		d.Via, d.Digest = "webhook", Digest(nil, s.Webhook.Body)
	default:
		d.Via = "ats"
	}
	return d
}

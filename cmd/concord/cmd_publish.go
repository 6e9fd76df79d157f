package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/schemas"
)

// maxLine bounds one line of JSON, in bytes.
const maxLine = 4 << 20

func (a *app) publishCommand() *cobra.Command {
	file, dry := "", false
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "publish TOPIC",
		Short: "Publish events, one JSON object a line, as Avro on an input topic",
		Long: "Read one JSON object a line from standard input, or from --file, and publish each as Avro with its CloudEvents headers.\n" +
			"Fields are named as in schemas/*.avsc; times are RFC 3339 or microseconds. A line that is refused is reported with\n" +
			"its number; the others are published, and the exit code is 1.\n\nTopics: " + strings.Join(inputs(), ", "),
		ValidArgs: inputs(),
		Args:      cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := publisher{topic: args[0], dry: dry}
			if _, err := p.event(); err != nil {
				return err
			}
			if err := a.load(cmd); err != nil {
				return err
			}
			in := a.stdin
			if file != "" {
				f, err := os.Open(file)
				if err != nil {
					return &usageError{err}
				}
				defer f.Close()
				in = f
			}
			if !dry {
				var err error
				if p.schemas, err = a.schemas(cmd.Context(), false); err != nil {
					return err
				}
				if p.client, err = a.kafka(cmd.Context(), kgo.ProducerBatchMaxBytes(maxLine)); err != nil {
					return err
				}
				defer p.client.Close()
			}
			return a.publish(cmd.Context(), &p, in)
		},
	})
	cmd.Flags().StringVar(&file, "file", "", "read from this file instead of standard input")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check the lines, publish nothing")
	return cmd
}

// inputs are the topics one may publish to: those whose records have an identity.
func inputs() []string {
	var out []string
	for _, t := range schemas.Topics() {
		if _, ok := wire.NewRecord(t.Record).(wire.Event); ok {
			out = append(out, t.Name)
		}
	}
	return out
}

func (a *app) publish(ctx context.Context, p *publisher, in io.Reader) error {
	lines := bufio.NewReaderSize(in, 64<<10)
	refused, number := 0, 0
	var readErr error
	for readErr == nil && ctx.Err() == nil {
		var line []byte
		line, readErr = readLine(lines)
		if number++; readErr != nil && !errors.Is(readErr, io.EOF) {
			break
		}
		err := errLine
		if len(line) <= maxLine {
			if line = bytes.TrimSpace(line); len(line) == 0 {
				continue
			}
			// What was read is sent, also when the command is interrupted meanwhile.
			err = p.publish(context.WithoutCancel(ctx), line)
		}
		if err != nil {
			refused++
			a.say("line %d: %v", number, err)
		}
	}
	if p.client != nil {
		flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if err := p.client.Flush(flushing); err != nil {
			p.err.CompareAndSwap(nil, &err)
		}
	}
	if !errors.Is(readErr, io.EOF) && readErr != nil {
		readErr = fmt.Errorf("line %d: %w", number, readErr)
		p.err.CompareAndSwap(nil, &readErr)
	}
	summary := struct {
		Topic     string `json:"topic"`
		Published int64  `json:"published"`
		Refused   int    `json:"refused"`
		Failed    int64  `json:"failed"`
	}{p.topic, p.published.Load(), refused, p.failed.Load()}
	if a.json {
		if err := a.printJSON(summary); err != nil {
			return err
		}
	} else if p.dry {
		a.say("%d would be published on %s, %d refused", summary.Published, summary.Topic, summary.Refused)
	} else {
		a.say("%d published on %s, %d refused, %d failed", summary.Published, summary.Topic, summary.Refused, summary.Failed)
	}
	if err := p.err.Load(); err != nil {
		return fmt.Errorf("publish: %w", *err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if refused > 0 {
		return errFindings
	}
	return nil
}

// flushTimeout bounds the wait for what was sent when the command ends.
const flushTimeout = 30 * time.Second

var errLine = fmt.Errorf("longer than %d MiB", maxLine>>20)

// readLine reads one line; of one that is too long it keeps just enough to tell.
func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(line) <= maxLine {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// publisher turns lines into records of one topic. Without a client it only checks them.
type publisher struct {
	topic   string
	dry     bool
	schemas *wire.Schemas
	client  *kgo.Client

	published, failed atomic.Int64
	err               atomic.Pointer[error] // the first that Kafka reported
}

// event returns an empty record of the topic.
func (p *publisher) event() (wire.Event, error) {
	if t, ok := schemas.ByTopic(p.topic); ok {
		if e, ok := wire.NewRecord(t.Record).(wire.Event); ok {
			return e, nil
		}
	}
	return nil, usage("cannot publish to %s: give %s", p.topic, strings.Join(inputs(), ", "))
}

func (p *publisher) publish(ctx context.Context, line []byte) error {
	event, err := p.event()
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(event); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	if err := complete(p.topic, event.Envelope()); err != nil {
		return err
	}
	if p.dry {
		p.published.Add(1)
		return nil
	}
	p.client.Produce(ctx, record(p.schemas, p.topic, event), func(_ *kgo.Record, err error) {
		if err != nil {
			p.failed.Add(1)
			p.err.CompareAndSwap(nil, &err)
			return
		}
		p.published.Add(1)
	})
	return nil
}

// complete refuses what its reader would put into the dead letters.
func complete(topic string, e wire.Envelope) error {
	for _, f := range []struct {
		name    string
		missing bool
	}{
		{"id", e.ID == ""},
		{"source", e.Source == ""},
		{"type", e.Type == ""},
		{"occurred_at", e.Time == 0},
		{"application_id (candidate_id on candidate.events)", e.Subject == "" || strings.HasPrefix(e.Subject, "/") || strings.HasSuffix(e.Subject, "/")},
	} {
		if f.missing {
			return fmt.Errorf("%s is missing", f.name)
		}
	}
	if instance, native, ok := strings.Cut(e.Subject, "/"); !ok || instance == "" || native == "" {
		return fmt.Errorf("application_id %q: give <ats instance>/<native id>", e.Subject)
	}
	if family, ok := families[topic]; ok && !family(hiring.ParseEventType(e.Type)) {
		return fmt.Errorf("type %q: is none of %s; schemas/*.avsc list them", e.Type, topic)
	}
	return nil
}

// families are the event types of a topic.
var families = map[string]func(hiring.EventType) bool{
	topics.ScreeningEvents: hiring.EventType.Screening,
	topics.ATSChanges:      hiring.EventType.ATS,
	topics.HiringControl:   hiring.EventType.Control,
}

// record frames an event for its topic, keyed by what it is about, with its CloudEvents headers.
func record(s *wire.Schemas, topic string, event wire.Event) *kgo.Record {
	e := event.Envelope()
	r := &kgo.Record{Topic: topic, Key: []byte(e.Subject), Value: s.Append(nil, event)}
	for _, h := range wire.EnvelopeHeaders(nil, e) {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}

package world

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/wire"
)

// Driver sends a world: actions to the simulated ATS, records to Kafka, webhooks to the gateway. It decides
// nothing. Not safe for concurrent use.
type Driver struct {
	Kafka   *kgo.Client
	Schemas *wire.Schemas
	HTTP    *http.Client
	// Tenants are the simulated instances, by name.
	Tenants map[string]Tenant
	// Batch is how many steps are sent together (300): their actions first, so that what a vendor says of an application
	// never comes before the application exists.
	Batch int
	// Progress, when set, is told how many steps are done so far in a wave. The next ones wait for it.
	Progress func(done, of int)
}

// Tenant is where an instance is reached: the simulator's base URL, the full URL for its webhooks, and what signs them.
type Tenant struct{ ATS, Hook, Secret string }

// Sent counts what a wave sent.
type Sent struct {
	Actions, Records, Webhooks int
	// Skipped are actions not done, as the ATS did not show what the person would have acted on.
	Skipped int
}

// Seed puts the store's first applications into the ATS.
func (d *Driver) Seed(ctx context.Context, w *World) error {
	for _, in := range w.Instances {
		body, err := json.Marshal(w.Store[in.System])
		if err != nil {
			return fmt.Errorf("seed the ats: %w", err)
		}
		if len(w.Store[in.System]) == 0 {
			continue
		}
		if _, err = d.post(ctx, d.Tenants[in.System].ATS+"/_sim/applications", body, nil, http.StatusOK); err != nil {
			return err
		}
	}
	return nil
}

// Wave sends one wave and returns when all of it is acknowledged.
func (d *Driver) Wave(ctx context.Context, w *World, wave int) (Sent, error) {
	var sent Sent
	var steps []*Step
	look := false
	for i := range w.Steps {
		if s := &w.Steps[i]; s.Wave == wave {
			steps = append(steps, s)
			look = look || s.When != nil
		}
	}
	var shown map[string]Shown
	if look {
		var err error
		if shown, err = d.shown(ctx, w); err != nil {
			return sent, err
		}
	}
	p, batch := producer{client: d.Kafka}, d.Batch
	if batch == 0 {
		batch = 300
	}
	for at := 0; at < len(steps); at += batch {
		part := steps[at:min(at+batch, len(steps))]
		if err := d.actions(ctx, part, shown, &p, &sent); err != nil {
			return sent, err
		}
		for _, s := range part {
			switch {
			case s.Message != nil:
				p.send(ctx, s.Message)
				sent.Records++
			case s.Webhook != nil:
				if err := d.hook(ctx, s.Webhook); err != nil {
					return sent, err
				}
				sent.Webhooks++
			}
		}
		if d.Progress != nil {
			d.Progress(at+len(part), len(steps))
		}
	}
	return sent, p.wait(ctx)
}

// actions does the actions among some steps, in order.
func (d *Driver) actions(ctx context.Context, part []*Step, shown map[string]Shown, p *producer, sent *Sent) error {
	todo, batch := make(map[string][]*Step), make(map[string][]*Action)
	for _, s := range part {
		if s.Action == nil {
			continue
		}
		if s.When != nil && shown[s.Application] != *s.When {
			sent.Skipped++
			continue
		}
		system := systemOf(s.Application)
		todo[system], batch[system] = append(todo[system], s), append(batch[system], s.Action)
	}
	for _, system := range slices.Sorted(maps.Keys(todo)) {
		if err := d.act(ctx, system, todo[system], batch[system], p, sent); err != nil {
			return err
		}
	}
	return nil
}

// systemOf is the instance an application id names.
func systemOf(application string) string {
	system, _, _ := strings.Cut(application, "/")
	return system
}

// act does actions at one instance.
func (d *Driver) act(ctx context.Context, system string, todo []*Step, batch []*Action, p *producer, sent *Sent) error {
	body, err := json.Marshal(batch)
	if err != nil {
		return fmt.Errorf("encode actions: %w", err)
	}
	answer, err := d.post(ctx, d.Tenants[system].ATS+"/_sim/actions", body, nil, http.StatusOK, http.StatusUnprocessableEntity)
	if err != nil {
		return err
	}
	var out struct {
		Results []struct {
			OK      bool   `json:"ok"`
			Error   string `json:"error"`
			Version int64  `json:"version"`
		} `json:"results"`
	}
	if err := json.Unmarshal(answer, &out); err != nil || len(out.Results) != len(todo) {
		return fmt.Errorf("do %d actions: the simulator answered %d results", len(todo), len(out.Results))
	}
	for i, r := range out.Results {
		s := todo[i]
		if !r.OK {
			return fmt.Errorf("do %s on %s: the simulator refused: %s", s.Action.Kind, s.Application, r.Error)
		}
		sent.Actions++
		if s.Publish != nil {
			change := *s.Publish
			change.OccurredAt = wire.Micros(r.Version)
			p.send(ctx, &Message{Topic: "ats.changes", Key: s.Application, Value: d.Schemas.Append(nil, &change), Headers: wire.EnvelopeHeaders(nil, change.Envelope())})
			sent.Records++
		}
	}
	return nil
}

// shown reads what the instances show of every application, by its id.
func (d *Driver) shown(ctx context.Context, w *World) (map[string]Shown, error) {
	out := make(map[string]Shown)
	for i := range w.Instances {
		if err := d.shownAt(ctx, &w.Instances[i], out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (d *Driver) shownAt(ctx context.Context, in *Instance, out map[string]Shown) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.Tenants[in.System].ATS+"/_sim/applications?format=jsonl", http.NoBody)
	if err != nil {
		return fmt.Errorf("read the ats: %w", err)
	}
	res, err := d.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("read the ats: %w", err)
	}
	defer res.Body.Close()
	lines := json.NewDecoder(bufio.NewReaderSize(res.Body, 64<<10))
	for {
		var a StoreApplication
		switch err := lines.Decode(&a); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the ats: %w", err)
		}
		out[in.application(a.ID)] = Shown{a.StageID, a.Status}
	}
}

// hook signs and posts one webhook.
func (d *Driver) hook(ctx context.Context, h *Webhook) error {
	to := d.Tenants[h.System]
	mac := hmac.New(sha256.New, []byte(to.Secret))
	mac.Write(h.Body)
	_, err := d.post(ctx, to.Hook, h.Body, map[string]string{
		"Signature": "sha256 " + hex.EncodeToString(mac.Sum(nil)), "Greenhouse-Event-ID": h.EventID,
	}, http.StatusOK)
	return err
}

func (d *Driver) post(ctx context.Context, url string, body []byte, header map[string]string, accept ...int) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("post to %s: %w", url, err)
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := d.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("post to %s: %w", url, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("post to %s: %w", url, err)
	}
	for _, ok := range accept {
		if res.StatusCode == ok {
			return answer, nil
		}
	}
	return nil, fmt.Errorf("post to %s: status %d", url, res.StatusCode)
}

// producer sends records in order and keeps the first error.
type producer struct {
	client *kgo.Client
	mu     sync.Mutex
	err    error
}

func (p *producer) send(ctx context.Context, m *Message) {
	rec := &kgo.Record{Topic: m.Topic, Key: []byte(m.Key), Value: m.Value}
	for _, h := range m.Headers {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	p.client.Produce(ctx, rec, func(_ *kgo.Record, err error) {
		if err != nil {
			p.mu.Lock()
			p.err = errors.Join(p.err, err)
			p.mu.Unlock()
		}
	})
}

func (p *producer) wait(ctx context.Context) error {
	if err := p.client.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return fmt.Errorf("produce: %w", p.err)
	}
	return nil
}

package atssim

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Config is a simulator's configuration. Zero values take the defaults named with each field.
type Config struct {
	// Dialect is the vendor whose API it speaks; Greenhouse when nil.
	Dialect Dialect
	// Seed decides every fault.
	Seed uint64
	// Faults are the rates at the start; they can be set over HTTP later.
	Faults Rates
	// Now is the true time; time.Now when nil. ClockOffset is how far the ATS's own clock is off: every time
	// it shows, its Date header included, is Now plus ClockOffset.
	Now         func() time.Time
	ClockOffset time.Duration
	// ReadLag is how long a read stays stale after a write that FaultStaleRead hits; 1 s.
	ReadLag time.Duration
	// Latency is what FaultLatency adds, 200 ms; Hang is how long FaultTimeoutAfter keeps silent, 60 s.
	Latency, Hang time.Duration
	// RetryAfter is what an injected 429 asks for, 1 s.
	RetryAfter time.Duration
	// RateLimit is the real limit; none when zero. A dialect's Limits are those its vendor documents.
	RateLimit RateLimit
	// ClientID and ClientSecret are the one credential; "concord" and "secret" when empty. The secret is the key of
	// a dialect that takes an API key. TokenTTL is 1 h.
	ClientID, ClientSecret string
	TokenTTL               time.Duration
	// Stages of every job, in order; DefaultStages when empty.
	Stages []Stage
	// Fields are the application's custom fields; DefaultFields when empty.
	Fields []FieldDef
	// Reasons are the rejection reason ids; 8, 14 and 40 when empty.
	Reasons []int64
	// OpaqueErrors leaves the name of the field out of 422 answers.
	OpaqueErrors bool
	Webhooks     WebhookConfig
	// MaxJournal, MaxApplications and MaxPending cap the journal's entries (500,000), the store (2,000,000) and
	// the undelivered webhooks (100,000).
	MaxJournal, MaxApplications, MaxPending int
}

// Stage is a stage of the interview plan.
type Stage struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// FieldDef is a custom field of the application. With Options, other values are refused.
type FieldDef struct {
	ID      int64    `json:"id"`
	Key     string   `json:"key"`
	Type    string   `json:"type"` // as Greenhouse names it: short_text, number, boolean, single_select, …
	Options []string `json:"options,omitempty"`
}

// WebhookConfig says where webhooks go and how badly. No URL, no webhooks.
type WebhookConfig struct {
	URL    string
	Secret string
	// Schedule holds the pauses before each retry; the dialect's when empty. Scale multiplies them; 1 when 0.
	Schedule []time.Duration
	Scale    float64
	// Duplicate, Reorder and Drop are rates by seed; ReorderDelay holds a reordered or doubled one back, 200 ms.
	Duplicate, Reorder, Drop float64
	ReorderDelay             time.Duration
	// Workers deliver at once, 8; Timeout is one attempt's, 10 s.
	Workers int
	Timeout time.Duration
}

// DefaultStages are the stages of the default policy's Greenhouse mapping.
func DefaultStages() []Stage {
	return []Stage{
		{1001, "Application Review"}, {1002, "Triage"}, {71416, "Assessment"}, {1004, "Interviews"}, {1005, "Offer"},
	}
}

// DefaultFields are the custom fields of the default mapping and the one in the published webhooks.
func DefaultFields() []FieldDef {
	return []FieldDef{
		{ID: 9001, Key: "screening_recommendation", Type: "short_text"},
		{ID: 9002, Key: "screening_report_url", Type: "short_text"},
		{ID: 9003, Key: "screening_score", Type: "number"},
		{ID: 9004, Key: "screening_status", Type: "short_text"},
		{ID: 9005, Key: "custom_application_field", Type: "short_text"},
	}
}

func (c *Config) defaults() {
	setDuration := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	setInt := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	if c.Dialect == nil {
		c.Dialect = Greenhouse{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	setDuration(&c.ReadLag, time.Second)
	setDuration(&c.Latency, 200*time.Millisecond)
	setDuration(&c.Hang, time.Minute)
	setDuration(&c.RetryAfter, time.Second)
	setDuration(&c.TokenTTL, time.Hour)
	c.ClientID, c.ClientSecret = cmp.Or(c.ClientID, "concord"), cmp.Or(c.ClientSecret, "secret")
	if len(c.Stages) == 0 {
		c.Stages = DefaultStages()
	}
	if len(c.Fields) == 0 {
		c.Fields = DefaultFields()
	}
	if len(c.Reasons) == 0 {
		c.Reasons = []int64{8, 14, 40}
	}
	setInt(&c.MaxJournal, 500_000)
	setInt(&c.MaxApplications, 2_000_000)
	setInt(&c.MaxPending, 100_000)
	w := &c.Webhooks
	if len(w.Schedule) == 0 {
		w.Schedule = c.Dialect.schedule()
	}
	if w.Scale == 0 {
		w.Scale = 1
	}
	setDuration(&w.ReorderDelay, 200*time.Millisecond)
	setDuration(&w.Timeout, 10*time.Second)
	setInt(&w.Workers, 8)
}

// Validate returns every fault of the configuration at once.
func (c *Config) Validate() error {
	faults := []error{c.Faults.Validate()}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"read lag", c.ReadLag}, {"latency", c.Latency}, {"hang", c.Hang}, {"retry after", c.RetryAfter}, {"token ttl", c.TokenTTL}, {"reorder delay", c.Webhooks.ReorderDelay}} {
		if d.value < 0 {
			faults = append(faults, fmt.Errorf("%s: must not be negative", d.name))
		}
	}
	for _, r := range []struct {
		name  string
		value float64
	}{{"duplicate", c.Webhooks.Duplicate}, {"reorder", c.Webhooks.Reorder}, {"drop", c.Webhooks.Drop}} {
		if !(r.value >= 0 && r.value <= 1) {
			faults = append(faults, fmt.Errorf("webhook %s rate %v: must be between 0 and 1", r.name, r.value))
		}
	}
	faults = append(faults, c.RateLimit.validate())
	if c.MaxJournal < 0 || c.MaxApplications < 0 || c.MaxPending < 0 {
		faults = append(faults, errors.New("caps: must not be negative"))
	}
	if u := c.Webhooks.URL; u != "" {
		if p, err := url.Parse(u); err != nil || p.Host == "" || (p.Scheme != "http" && p.Scheme != "https") {
			faults = append(faults, errors.New("webhook url: must be http(s)://host/path"))
		}
		if c.Webhooks.Secret == "" {
			faults = append(faults, errors.New("webhook secret: needed to sign"))
		}
	}
	seen := map[int64]bool{}
	for _, s := range c.Stages {
		if s.ID <= 0 || seen[s.ID] {
			faults = append(faults, fmt.Errorf("stage %d: ids are positive and distinct", s.ID))
		}
		seen[s.ID] = true
	}
	return errors.Join(faults...)
}

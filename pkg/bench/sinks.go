package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// Sinks is what the roles behind the reconciler make of its output.
type Sinks struct {
	KPI struct {
		Events int64 `json:"events"`
		Side         // on one core
	} `json:"kpi"`
	Writeback Writeback `json:"writeback"`
}

// Writeback is the use of an ATS's rate limit with a backlog of commands.
type Writeback struct {
	Limit    int     `json:"limit_per_second"`
	Seconds  float64 `json:"seconds"`
	Requests int     `json:"requests"`   // in that time
	Share    float64 `json:"share"`      // of what the limit allowed
	MostIn1s int     `json:"most_in_1s"` // requests in the fullest second, at any offset
	Refused  int     `json:"refused"`    // answered 429
	Commands int     `json:"commands"`   // waiting at the start

	EachSecond []int `json:"each_second"` // requests
}

// Sinks measures the KPI consumer, then write-back, on what a reconciler has written. decided says that the topics hold that
// already; else they are filled.
func (b *Bench) Sinks(ctx context.Context, decided bool) (*Sinks, error) {
	if !decided {
		if err := b.decide(ctx); err != nil {
			return nil, err
		}
	}
	var out Sinks
	if err := b.kpi(ctx, &out); err != nil {
		return nil, fmt.Errorf("kpi: %w", err)
	}
	var err error
	if out.Writeback, err = b.writeback(ctx); err != nil {
		return nil, fmt.Errorf("write-back: %w", err)
	}
	return &out, nil
}

// decide fills the topics with what a reconciler writes.
func (b *Bench) decide(ctx context.Context) error {
	d, err := b.newDeployment(ctx, append(append([]string{topics.ATSOutcomes}, inputs...), outputs...)...)
	if err != nil {
		return err
	}
	if _, err := b.fill(ctx, b.Plan.load(b.Plan.Applications, b.Plan.Events, 0, 0)); err != nil {
		return err
	}
	if _, err := (&grown{d: d}).work(ctx, "reconciler"); err != nil {
		return err
	}
	return d.end(ctx)
}

func (b *Bench) kpi(ctx context.Context, out *Sinks) error {
	read := []string{topics.HiringDecisions, topics.ATSOutcomes, topics.HiringConflicts}
	var got sides
	for round := range b.Plan.Rounds {
		d, err := b.newDeployment(ctx, topics.KPIState, topics.KPIWriteback, topics.KPIConflicts, topics.KPIQuality)
		if err != nil {
			return err
		}
		p, err := d.start(Role{Name: "kpi", Cores: 1})
		if err != nil {
			return err
		}
		defer p.kill()
		pace, err := b.drain(ctx, p, d.group, read...)
		if err != nil {
			return err
		}
		if err := errors.Join(p.stop(ctx), d.end(ctx)); err != nil {
			return err
		}
		b.Say("round %d: KPI consumer on one core %.0f events/s, %.2f CPU s per million", round+1, pace.PerS, pace.CPU)
		got.add(pace)
		out.KPI.Events = pace.Records
	}
	out.KPI.Side = got.side()
	return nil
}

// Write-back is told less than the ATS allows: its rate and its burst together can meet in any second, and a request that
// was granted takes its time to arrive.
const (
	rateShare = 0.94
	burst     = 4 // the requests of one write
)

func (b *Bench) writeback(ctx context.Context) (Writeback, error) {
	out := Writeback{Limit: b.Plan.SinkLimit}
	sim, err := atssim.New(atssim.Config{Seed: b.Plan.Seed, RateLimit: atssim.RateLimit{Requests: out.Limit, Window: time.Second}})
	if err != nil {
		return out, err
	}
	if out.Commands, err = b.seed(ctx, sim); err != nil {
		return out, err
	}
	d, err := b.newDeployment(ctx, topics.ATSOutcomes, topics.WritebackState)
	if err != nil {
		return out, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return out, fmt.Errorf("listen: %w", err)
	}
	meter := &meter{next: sim}
	server := &http.Server{Handler: meter, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			b.Say("simulated ATS: %v", err)
		}
	}()
	defer func() {
		_ = server.Close() // nothing waits for its answers any more
		<-served
	}()
	// Nobody sends deferred commands again here, so none is given back while it is measured.
	p, err := d.start(Role{Name: "writeback", Set: map[string]string{
		"writeback.defer_after": "10m",
		"ats": fmt.Sprintf("[{instance: %s, url: 'http://%s', client_id: concord, client_secret: secret, read_lag: 100ms, rate: %d, burst: %d}]",
			instance, l.Addr(), int(rateShare*float64(out.Limit)), burst),
	}})
	if err != nil {
		return out, err
	}
	defer p.kill()
	// A new owner waits a session timeout before its first write.
	if err := b.until(ctx, stall, "write-back writes", func() (bool, error) { return meter.writes() > 0, p.alive() }); err != nil {
		return out, err
	}
	if err := pause(ctx, warmUp); err != nil {
		return out, err
	}
	from := time.Now()
	if err := pause(ctx, b.Plan.SinkTime); err != nil {
		return out, err
	}
	to := time.Now()
	if err := p.stop(ctx); err != nil {
		return out, err
	}
	out.Seconds = to.Sub(from).Seconds()
	out.EachSecond, out.MostIn1s, out.Refused = meter.between(from, to)
	for _, n := range out.EachSecond {
		out.Requests += n
	}
	out.EachSecond = out.EachSecond[:int(out.Seconds)]
	out.Share = float64(out.Requests) / (float64(out.Limit) * out.Seconds)
	b.Say("write-back: %d requests in %.1f s, %.1f %% of %d a second, %d in the fullest second, %d refused", out.Requests, out.Seconds, 100*out.Share, out.Limit, out.MostIn1s, out.Refused)
	return out, d.end(ctx)
}

// seed gives the simulator the applications that commands are about, as the commands expect them.
func (b *Bench) seed(ctx context.Context, sim *atssim.Server) (int, error) {
	last := map[string]atssim.Application{}
	var failed error
	err := b.read(ctx, topics.ATSCommands, func(rec *kgo.Record) {
		var c wire.Command
		if err := b.Schemas.DecodeLocal(rec.Value, &c); err != nil {
			failed = fmt.Errorf("command at %d/%d: %w", rec.Partition, rec.Offset, err)
			return
		}
		if c.Kind != wire.CommandKindApply {
			return
		}
		id, err := strconv.ParseInt(strings.TrimPrefix(c.ApplicationID, instance+"/"), 10, 64)
		if err != nil {
			failed = fmt.Errorf("command at %d/%d: %w", rec.Partition, rec.Offset, err)
			return
		}
		stage, err := strconv.ParseInt(c.Expected.Stage, 10, 64)
		if err != nil {
			stage, _ = strconv.ParseInt(stageScreening, 10, 64)
		}
		last[c.ApplicationID] = atssim.Application{ID: id, CandidateID: id, StageID: stage, AppliedAt: time.Now().Add(-24 * time.Hour), LastActivityAt: time.Now().Add(-time.Hour)}
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, err
	}
	for _, a := range last {
		if err := sim.Seed(a); err != nil {
			return 0, fmt.Errorf("seed the simulator: %w", err)
		}
	}
	return len(last), nil
}

// meter notes when requests came to the ATS. Safe for concurrent use.
type meter struct {
	next http.Handler

	mu      sync.Mutex
	times   []time.Time
	wrote   int
	refused []time.Time
}

// ServeHTTP implements http.Handler.
func (m *meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/v3/") {
		m.next.ServeHTTP(w, r) // the token is no request to the API
		return
	}
	m.mu.Lock()
	m.times = append(m.times, time.Now())
	if r.Method != http.MethodGet {
		m.wrote++
	}
	m.mu.Unlock()
	seen := &statusWriter{ResponseWriter: w}
	m.next.ServeHTTP(seen, r)
	if seen.status == http.StatusTooManyRequests {
		m.mu.Lock()
		m.refused = append(m.refused, time.Now())
		m.mu.Unlock()
	}
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (m *meter) writes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wrote
}

// between counts the requests of each second in [from, to); and since the start those of the fullest second, beginning
// anywhere, and those refused.
func (m *meter) between(from, to time.Time) (each []int, most, refused int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	each = make([]int, int(to.Sub(from)/time.Second)+1)
	first := 0
	for i, at := range m.times {
		if !at.Before(from) && at.Before(to) {
			each[int(at.Sub(from)/time.Second)]++
		}
		for at.Sub(m.times[first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return each, most, len(m.refused)
}

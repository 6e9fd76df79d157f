package main

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// The alerts on drift fire in the cases they are for, those after a restart included, and in no other.
func TestDriftAlertsFire(t *testing.T) {
	t.Parallel()
	exprs := rules(t)
	sender := func(instance string, from, to time.Duration, count func(time.Duration) float64) storage.Series {
		return series("concord_gateway_requests_total", from, to, count, "instance", instance, "endpoint", "greenhouse", "system", "gh-main", "result", "accepted")
	}
	drift := func(instance string, from, to time.Duration, count func(time.Duration) float64) storage.Series {
		return series("concord_reconciler_drift_total", from, to, count, "instance", instance, "system", "gh-main")
	}
	const day = 24 * time.Hour
	busy := func(at time.Duration) float64 { return 5 * at.Minutes() }
	none := func(time.Duration) float64 { return 0 }
	until := func(end time.Duration) func(time.Duration) float64 {
		return func(at time.Duration) float64 { return busy(min(at, end)) }
	}
	for _, c := range []struct {
		alert, what string
		series      []storage.Series
		fires       []time.Duration
		quiet       []time.Duration
	}{
		{
			"ConcordSenderSilent", "a sender falls silent",
			[]storage.Series{sender("a", 0, 40*time.Hour, until(25*time.Hour))},
			[]time.Duration{28 * time.Hour, 36 * time.Hour},
			[]time.Duration{day, 26 * time.Hour},
		},
		{
			"ConcordSenderSilent", "the gateway restarts, and its hook is broken from then on",
			[]storage.Series{sender("a", 0, 40*time.Hour, func(at time.Duration) float64 {
				if at < 25*time.Hour {
					return busy(at)
				}
				return 0
			})},
			[]time.Duration{28 * time.Hour, 36 * time.Hour},
			[]time.Duration{day, 26 * time.Hour},
		},
		{"ConcordSenderSilent", "another gateway takes over, and hears nothing", []storage.Series{
			sender("a", 0, 25*time.Hour, busy), sender("b", 25*time.Hour, 40*time.Hour, none),
		}, []time.Duration{28 * time.Hour, 36 * time.Hour}, []time.Duration{day, 26 * time.Hour}},
		{
			"ConcordSenderSilent", "another gateway takes over and has no series",
			[]storage.Series{sender("a", 0, 25*time.Hour, busy)},
			[]time.Duration{28 * time.Hour},
			[]time.Duration{day, 26 * time.Hour},
		},
		{"ConcordSenderSilent", "another gateway takes over and is busy", []storage.Series{
			sender("a", 0, 25*time.Hour, busy), sender("b", 25*time.Hour, 40*time.Hour, busy),
		}, nil, []time.Duration{day, 28 * time.Hour, 36 * time.Hour}},
		{
			"ConcordSenderSilent", "a sender that was never busy",
			[]storage.Series{sender("a", 0, 40*time.Hour, none)},
			nil,
			[]time.Duration{28 * time.Hour},
		},
		{"ConcordWebhooksLost", "a count from 0 grows", []storage.Series{drift("a", 0, day, func(at time.Duration) float64 {
			if at < 2*time.Hour {
				return 0
			}
			return 30
		})}, []time.Duration{2*time.Hour + 5*time.Minute}, []time.Duration{time.Hour, 4 * time.Hour}},
		{
			"ConcordWebhooksLost", "a count is first seen at 30",
			[]storage.Series{drift("a", 2*time.Hour, day, func(time.Duration) float64 { return 30 })},
			[]time.Duration{2*time.Hour + 5*time.Minute},
			[]time.Duration{time.Hour, 4 * time.Hour},
		},
		{"ConcordWebhooksLost", "a reconciler restarts, and another beside it counts nothing", []storage.Series{
			drift("a", 0, 2*time.Hour, func(time.Duration) float64 { return 7 }), drift("c", 2*time.Hour, day, func(time.Duration) float64 { return 30 }), drift("b", 0, day, none),
		}, []time.Duration{2*time.Hour + 5*time.Minute}, []time.Duration{90 * time.Minute, 4 * time.Hour}},
		{
			"ConcordNotPolled", "no walk ends after the start",
			[]storage.Series{series("concord_poller_walked_timestamp_seconds", time.Minute, day,
				func(time.Duration) float64 { return seconds(time.Minute) }, "system", "lever", "instance", "a")},
			[]time.Duration{90 * time.Minute, 5 * time.Hour},
			[]time.Duration{30 * time.Minute},
		},
		{"ConcordNotPolled", "one process walks, and another has not been the owner for long", []storage.Series{
			series("concord_poller_walked_timestamp_seconds", time.Minute, day, func(time.Duration) float64 { return seconds(time.Minute) }, "system", "lever", "instance", "a"),
			series("concord_poller_walked_timestamp_seconds", time.Minute, day, seconds, "system", "lever", "instance", "b"),
		}, nil, []time.Duration{30 * time.Minute, 5 * time.Hour}},
	} {
		expr, ok := exprs[c.alert]
		if !ok {
			t.Fatalf("no alert %s", c.alert)
		}
		for _, at := range c.fires {
			if n := evaluate(t, expr, c.series, at); n != 1 {
				t.Errorf("%s, %s: %d series after %s, want 1", c.alert, c.what, n, at)
			}
		}
		for _, at := range c.quiet {
			if n := evaluate(t, expr, c.series, at); n != 0 {
				t.Errorf("%s, %s: %d series after %s, want none", c.alert, c.what, n, at)
			}
		}
	}
}

// epoch is when the series of rule tests begin.
var epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func seconds(at time.Duration) float64 { return float64(epoch.Add(at).Unix()) }

// sample is a value scraped at a time.
type sample struct {
	t int64
	v float64
}

func (s sample) T() int64                    { return s.t }
func (s sample) F() float64                  { return s.v }
func (sample) H() *histogram.Histogram       { return nil }
func (sample) FH() *histogram.FloatHistogram { return nil }
func (sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample         { return s }

// series is a metric that is scraped every minute from a time after epoch until another.
func series(name string, from, to time.Duration, value func(time.Duration) float64, pairs ...string) storage.Series {
	var scraped []chunks.Sample
	for at := from; at < to; at += time.Minute {
		scraped = append(scraped, sample{epoch.Add(at).UnixMilli(), value(at)})
	}
	return storage.NewListSeries(labels.FromStrings(append([]string{"__name__", name}, pairs...)...), scraped)
}

// evaluate is how many alerts an expression raises at a time after epoch.
func evaluate(t *testing.T, expr string, in []storage.Series, at time.Duration) int {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1 << 20, Timeout: time.Minute})
	defer engine.Close()
	query, err := engine.NewInstantQuery(t.Context(), &storage.MockQueryable{MockQuerier: scraped(in)}, nil, expr, epoch.Add(at))
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	result := query.Exec(t.Context())
	vector, err := result.Vector()
	if err = cmp.Or(result.Err, err); err != nil {
		t.Fatal(err)
	}
	return len(vector)
}

// scraped answers a selection from series.
func scraped(in []storage.Series) storage.Querier {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		out := &selection{}
		for _, s := range in {
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Labels().Get(m.Name)) }) {
				out.series = append(out.series, s)
			}
		}
		return out
	}}
}

// selection is a set of series.
type selection struct {
	series []storage.Series
	at     storage.Series
}

func (s *selection) Next() bool {
	if len(s.series) == 0 {
		return false
	}
	s.at, s.series = s.series[0], s.series[1:]
	return true
}

func (s *selection) At() storage.Series              { return s.at }
func (*selection) Err() error                        { return nil }
func (*selection) Warnings() annotations.Annotations { return nil }

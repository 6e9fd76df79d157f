package bench

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func measured() *Report {
	side := func(v float64) Side {
		return Side{spread([]float64{v, v + 1, v - 1}), spread([]float64{2}), spread([]float64{1 << 29})}
	}
	r := &Report{
		Commit: "abc", Command: "concord bench", Plan: Full(1),
		Throughput: &Throughput{Events: 10, Applications: 2, Reconciler: side(100), Copy: side(200), Ratio: spread([]float64{0.5}), CPURatio: spread([]float64{2.1}), Reasons: map[string]int64{"late": 1, "advanced": 3}},
		Latency: []Latency{
			{Interval: 100 * time.Millisecond, Rate: 5_000, Timing: Timing{P50: 50, P99: 125}, Copy: Timing{P99: 33}},
			{Interval: 100 * time.Millisecond, Rate: 2_000, Timing: Timing{P99: 900}, Copy: Timing{P99: 33}},
			{Interval: 10 * time.Millisecond, Rate: 5_000, Timing: Timing{P99: 36}, Copy: Timing{P99: 33}},
			{Interval: 10 * time.Millisecond, Rate: 20_000, Timing: Timing{P99: 900}, Copy: Timing{P99: 33}},
		},
		Restart: []Restart{{Applications: 1_000_000, Kept: spread([]float64{1.4}), PerS: spread([]float64{399_999})}},
	}
	for _, n := range []int{10_000, 500_000, 1_000_000} {
		r.Growth = append(r.Growth, Growth{Applications: n, Keys: "uniform", Side: side(100)})
	}
	r.Growth[2].Side = side(79)
	return r
}

func TestBarsSayWhatIsMet(t *testing.T) {
	got := map[string]bool{}
	for _, b := range measured().Bars() {
		got[b.Name] = b.Met
	}
	want := map[string]bool{
		"events per second, of the copy's":                                         true,
		"CPU per event, of the copy's":                                             false,
		"p99 at 5000 events/s, commit interval 100ms":                              true,
		"p99 at 5000 events/s, commit interval 10ms":                               false,
		"events per second with 10⁶ applications, of those with 10⁴, uniform keys": false,
		"peak resident memory with 500,000 applications":                           true,
		"first event with 10⁶ applications, store kept":                            true,
		"changelog records per second with 10⁶ applications, store wiped":          false,
	}
	if len(got) != len(want) {
		t.Errorf("bars %v, want %v", got, want)
	}
	for name, met := range want {
		if is, ok := got[name]; !ok || is != met {
			t.Errorf("%s: measured %t, met %t, want met %t", name, ok, is, met)
		}
	}
}

// Publishing replaces the sections of the parts that were measured and nothing else.
func TestPublishKeepsTheRest(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "benchmarks.md")
	before := "# Title\n\n<!-- bench:throughput -->\nold figure\n<!-- /bench:throughput -->\ntext\n<!-- bench:sinks -->\nolder sinks\n<!-- /bench:sinks -->\nend\n"
	if err := os.WriteFile(page, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := measured().Publish(dir); err != nil {
			t.Fatal(err)
		}
	}
	after, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(after)
	for _, want := range []string{"# Title", "\ntext\n", "older sinks", "end\n", "0.50", "concord bench", "(bench/latency.svg)", "36 ms (copy: 33 ms)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(text, "old figure") {
		t.Error("the old figure is still there")
	}
	if n := strings.Count(text, "<!-- bench:latency -->"); n != 1 {
		t.Errorf("latency has %d sections", n)
	}
	plots, err := filepath.Glob(filepath.Join(dir, "bench", "*.svg"))
	if err != nil || len(plots) != 6 {
		t.Fatalf("plots %v, %v", plots, err)
	}
	for _, path := range plots {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(f); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", path, err)
				break
			}
		}
		f.Close()
	}
}

func TestRestoreIsReadFromTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log := `not json
{"time":"2026-01-01T10:00:01Z","msg":"partitions assigned","partitions":12}
{"time":"2026-01-01T10:00:02Z","msg":"partitions assigned","partitions":6}
{"time":"2026-01-01T10:00:03Z","msg":"partitions restored","partitions":6,"records":600,"took":"1.5s"}
{"time":"2026-01-01T10:00:04Z","msg":"partitions restored","partitions":6,"records":400,"took":"2s"}
`
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readRestore(path)
	if err != nil {
		t.Fatal(err)
	}
	if !got.assigned.Equal(time.Date(2026, 1, 1, 10, 0, 1, 0, time.UTC)) || got.records != 1000 || got.took != 2*time.Second {
		t.Errorf("got %+v", got)
	}
}

func TestMeterFindsTheFullestSecond(t *testing.T) {
	var m meter
	start := time.Unix(1000, 0)
	for _, ms := range []int{0, 900, 950, 1000, 1100, 1899, 1900, 3000} {
		m.times = append(m.times, start.Add(time.Duration(ms)*time.Millisecond))
	}
	each, most, refused := m.between(start, start.Add(2*time.Second))
	if each[0] != 3 || each[1] != 4 || most != 5 || refused != 0 {
		t.Errorf("each second %v, most in one %d, refused %d", each, most, refused)
	}
}

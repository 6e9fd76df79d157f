package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/local"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// services runs Kafka and the registry with topics and schemas, and returns the environment that names them.
func services(t *testing.T) []string {
	t.Helper()
	s, err := local.Start(t.Context(), local.Config{Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	env := []string{
		"CONCORD_KAFKA_BROKERS=" + strings.Join(s.Brokers, ","), "CONCORD_REGISTRY_URL=" + s.Registry, "CONCORD_REDIS_ADDR=" + s.Redis,
		"CONCORD_KAFKA_PARTITIONS=2", "CONCORD_KAFKA_REPLICATION=1", "CONCORD_LOG_LEVEL=warn", "CONCORD_START_TIMEOUT=10s",
	}
	for _, args := range [][]string{{"topics", "create"}, {"schemas", "register"}} {
		if r := concord(t, env, "", args...); r.code != exitOK {
			t.Fatalf("%v: exit %d\n%s", args, r.code, r.stderr)
		}
	}
	return env
}

// open gives a test the same reader the commands use.
func open(t *testing.T, env []string) *reader {
	t.Helper()
	a := &app{env: env, stdin: strings.NewReader(""), stdout: t.Output(), stderr: t.Output()}
	cmd := a.root()
	if err := a.load(cmd); err != nil {
		t.Fatal(err)
	}
	r, err := a.reader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

// put produces records as a processor would.
func put(t *testing.T, r *reader, topic, key string, rec wire.Record) {
	t.Helper()
	out := &kgo.Record{Topic: topic, Key: []byte(key), Value: r.schemas.Append(nil, rec)}
	if err := r.client.ProduceSync(t.Context(), out).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// only returns the one record of a key.
func only(t *testing.T, r *reader, topic, key string) *kgo.Record {
	t.Helper()
	found, done, err := r.newest(t.Context(), topic, key, 2, 0)
	if err != nil || !done || len(found) != 1 {
		t.Fatalf("%s of %s: %d records, %v, %v, want one", topic, key, len(found), done, err)
	}
	return found[0]
}

func TestPublish(t *testing.T) {
	t.Parallel()
	env := services(t)
	const good = `{"id":"e1","source":"/vendor","type":"screening.completed","occurred_at":"2026-11-20T10:00:00Z","application_id":"gh-main/7","order_id":"o1",` +
		`"result":{"status":"complete","recommendation":"advance"}}`
	lines := strings.Join([]string{
		good,
		``,
		`{"id":"e2","sauce":"/vendor"}`,
		`{"id":"e3","source":"/vendor","type":"screening.started","application_id":"gh-main/8"}`,
		`not JSON`,
		`{"id":"e4","source":"/vendor","type":"screening.started","occurred_at":"2026-11-20T10:00:00Z","application_id":"gh-main/8","time_basis":"someday"}`,
		strings.Repeat(" ", maxLine+10) + good,
		good + "}",
		strings.Replace(good, "screening.completed", "application.hired", 1),
		strings.Replace(good, "gh-main/7", "noslash", 1),
	}, "\n")
	got := concord(t, env, lines, "publish", topics.ScreeningEvents, "--json")
	if got.code != exitFailure {
		t.Errorf("exit %d, want %d for refused lines", got.code, exitFailure)
	}
	var summary struct{ Published, Refused, Failed int }
	if err := json.Unmarshal([]byte(got.stdout), &summary); err != nil {
		t.Fatalf("%v: %s", err, got.stdout)
	}
	if summary.Published != 1 || summary.Refused != 8 || summary.Failed != 0 {
		t.Errorf("summary %+v, want 1 published, 8 refused", summary)
	}
	for _, want := range []string{`line 3: json: unknown field "sauce"`, "line 4: occurred_at is missing", "line 5: ", "line 6: read TimeBasis: no such symbol, give one of event, record", "line 7: longer than 4 MiB", "line 8: something follows", `line 9: type "application.hired"`, `line 10: application_id "noslash"`} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("stderr lacks %q:\n%s", want, got.stderr)
		}
	}

	r := open(t, env)
	rec := only(t, r, topics.ScreeningEvents, "gh-main/7")
	var event wire.ScreeningEvent
	if err := r.schemas.Decode(t.Context(), rec.Value, &event); err != nil {
		t.Fatal(err)
	}
	want := wire.ScreeningEvent{
		ID: "e1", Source: "/vendor", Type: "screening.completed", ApplicationID: "gh-main/7", OrderID: "o1",
		OccurredAt: wire.MicrosOf(time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)),
		Result:     &wire.ScreeningResult{Status: wire.ResultStatusComplete, Recommendation: wire.RecommendationAdvance},
	}
	if diff := cmp.Diff(want.ContentDigest(), event.ContentDigest()); diff != "" {
		t.Errorf("what was published is %+v", event)
	}
	var headers []wire.Header
	for _, h := range rec.Headers {
		headers = append(headers, wire.Header{Key: h.Key, Value: h.Value})
	}
	if len(headers) != 6 {
		t.Errorf("%d headers, want the six of CloudEvents", len(headers))
	}
	if err := wire.CheckEnvelope(headers, event.Envelope()); err != nil {
		t.Error(err)
	}

	for topic, code := range map[string]int{topics.ATSCommands: exitUsage, "nowhere": exitUsage, topics.HiringControl: exitOK} {
		if r := concord(t, env, "", "publish", topic, "--dry-run"); r.code != code {
			t.Errorf("publish %s: exit %d, want %d\n%s", topic, r.code, code, r.stderr)
		}
	}
}

// What Kafka does not take is counted, and the exit code says so.
func TestPublishCountsWhatKafkaRefuses(t *testing.T) {
	t.Parallel()
	env := services(t)
	r := open(t, env)
	if _, err := kadm.NewClient(r.client).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "max.message.bytes", Value: kadm.StringPtr("100")},
	}, topics.ScreeningEvents); err != nil {
		t.Fatal(err)
	}
	got := concord(t, env, `{"id":"e1","source":"/vendor","type":"screening.completed","occurred_at":"2026-11-20T10:00:00Z","application_id":"gh-main/7"}`,
		"publish", topics.ScreeningEvents, "--json")
	var summary struct{ Published, Refused, Failed int }
	if err := json.Unmarshal([]byte(got.stdout), &summary); err != nil {
		t.Fatalf("%v: %s", err, got.stdout)
	}
	if got.code != exitFailure || summary.Published != 0 || summary.Refused != 0 || summary.Failed != 1 || !strings.Contains(got.stderr, "concord: publish: ") {
		t.Errorf("exit %d, %+v, want %d and one failed\n%s", got.code, summary, exitFailure, got.stderr)
	}
}

func state(version int64, stage string) *wire.HiringState {
	return &wire.HiringState{
		ApplicationID: "gh-main/7", Version: version, UpdatedAt: 1_000_000, System: "gh-main",
		Head: wire.Fold{
			Stage: stage, EnteredBy: wire.AuthorityHuman,
			Observations: []wire.Observation{{Facet: "stage", Values: []string{"1004"}, Origin: &wire.Origin{System: "gh-main", At: 1_000_000, EventID: "e9"}}},
		},
		Desired: wire.Tuple{Stage: "1004"}, DesiredRevision: 3,
		Incidents: []wire.OpenIncident{{ID: "i1", Kind: wire.IncidentKindStuck, FirstSeen: 1, OpenedAt: 1_000_000, Owner: "recruiter"}},
	}
}

func TestAppShowFindsTheNewestState(t *testing.T) {
	t.Parallel()
	env := services(t)
	r := open(t, env)
	put(t, r, topics.HiringState, "gh-main/7", state(1, "triage"))
	// The newest state of a key lies behind thousands of others'.
	put(t, r, topics.HiringState, "gh-main/7", state(2, "interviews"))
	records := make([]*kgo.Record, 0, 20_000)
	for i := range cap(records) {
		other := state(1, "apply")
		other.ApplicationID = fmt.Sprintf("gh-main/1%06d", i)
		records = append(records, &kgo.Record{Topic: topics.HiringState, Key: []byte(other.ApplicationID), Value: r.schemas.Append(nil, other)})
	}
	if err := r.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for v := range int64(12) {
		put(t, r, topics.HiringDecisions, "gh-main/7", &wire.Decision{ApplicationID: "gh-main/7", Version: v, EventID: fmt.Sprint("e", v)})
	}

	got := concord(t, env, "", "app", "show", "gh-main/7", "--json", "--decisions", "3")
	if got.code != exitOK {
		t.Fatalf("exit %d\n%s", got.code, got.stderr)
	}
	var view applicationView
	if err := json.Unmarshal([]byte(got.stdout), &view); err != nil {
		t.Fatal(err)
	}
	if view.State.Version != 2 || view.State.Head.Stage != "interviews" {
		t.Errorf("version %d, stage %s, want the newest state", view.State.Version, view.State.Head.Stage)
	}
	var versions []int64
	for _, d := range view.Decisions {
		versions = append(versions, d.Version)
	}
	if diff := cmp.Diff([]int64{11, 10, 9}, versions); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
	text := concord(t, env, "", "app", "show", "gh-main/7")
	for _, want := range []string{"interviews since", "stage 1004 (revision 3)", "stuck", "gh-main"} {
		if !strings.Contains(text.stdout, want) {
			t.Errorf("text lacks %q:\n%s", want, text.stdout)
		}
	}
	if missing := concord(t, env, "", "app", "show", "gh-main/404"); missing.code != exitFailure || !strings.Contains(missing.stderr, "no such application: gh-main/404") {
		t.Errorf("unknown application: exit %d\n%s", missing.code, missing.stderr)
	}
}

func TestControlCarriesTheVersionShown(t *testing.T) {
	t.Parallel()
	env := services(t)
	r := open(t, env)
	put(t, r, topics.HiringState, "gh-main/7", state(5, "screening"))
	who := []string{"--actor", "u17", "--reason", "OPS-12"}

	for name, c := range map[string]struct {
		args []string
		want int
		says string
	}{
		"nobody asks":             {[]string{"hold", "gh-main/7", "--yes"}, exitUsage, "give --actor"},
		"an e-mail address":       {[]string{"hold", "gh-main/7", "--yes", "--actor", "a@b.example", "--reason", "x"}, exitUsage, "not an e-mail address"},
		"no terminal, no --yes":   {append([]string{"hold", "gh-main/7"}, who...), exitUsage, "nothing was done"},
		"no such stage":           {append([]string{"override", "gh-main/7", "--stage", "fired", "--yes"}, who...), exitUsage, "--stage fired"},
		"no such scope":           {append([]string{"hold", "gh-main/7", "--scope", "screening_scroe", "--yes"}, who...), exitUsage, "--scope screening_scroe: give stage, elements, orders"},
		"a time gone by":          {append([]string{"hold", "gh-main/7", "--for", "-5h", "--yes"}, who...), exitUsage, "--for -5h0m0s"},
		"an address as reason":    {[]string{"hold", "gh-main/7", "--yes", "--actor", "u17", "--reason", "a@b.example called"}, exitUsage, "--reason"},
		"seen an older state":     {append([]string{"hold", "gh-main/7", "--yes", "--seen", "4"}, who...), exitFailure, "has version 5, not 4"},
		"application not known":   {append([]string{"hold", "gh-main/8", "--yes"}, who...), exitFailure, "no such application"},
		"the preview comes first": {append([]string{"release", "gh-main/7"}, who...), exitUsage, "gh-main/7 is in screening, version 5"},
	} {
		got := concord(t, env, "", append([]string{"control"}, c.args...)...)
		if got.code != c.want || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s", name, got.code, c.want, c.says, got.stderr)
		}
	}
	if found, _, err := r.newest(t.Context(), topics.HiringControl, "gh-main/7", 1, 0); err != nil || len(found) != 0 {
		t.Fatalf("%d control events after refusals only, %v", len(found), err)
	}

	got := concord(t, env, "", append([]string{"control", "override", "gh-main/7", "--stage", "interviews", "--yes", "--json"}, who...)...)
	if got.code != exitOK {
		t.Fatalf("exit %d\n%s", got.code, got.stderr)
	}
	var event wire.Control
	if err := r.schemas.Decode(t.Context(), only(t, r, topics.HiringControl, "gh-main/7").Value, &event); err != nil {
		t.Fatal(err)
	}
	if event.Type != "control.override" || event.SeenVersion != 5 || event.Stage != "interviews" || event.Actor.ID != "u17" || event.Actor.Kind != wire.ActorKindHuman {
		t.Errorf("event %+v", event)
	}
}

func TestDeadLettersFromListToReplay(t *testing.T) {
	t.Parallel()
	env := services(t)
	r := open(t, env)
	source := &kgo.Record{Topic: topics.ScreeningEvents, Partition: partitionOf(topics.ScreeningEvents, "gh-main/7", 2), Key: []byte("gh-main/7"), Value: []byte("garbage"), Timestamp: time.Now()}
	letter := deadletter.Record(source, string(wire.CauseBadFraming), nil, "concord.reconciler", time.Now())
	if err := r.client.ProduceSync(t.Context(), letter).FirstErr(); err != nil {
		t.Fatal(err)
	}
	list := concord(t, env, "", "dlq", "ls", "--json", "--topic", topics.ScreeningEvents, "--cause", "bad_framing")
	var letters []deadletter.Letter
	if err := json.Unmarshal([]byte(list.stdout), &letters); err != nil || len(letters) != 1 {
		t.Fatalf("%d letters, %v\n%s", len(letters), err, list.stderr)
	}
	at := letters[0].At.String()
	if show := concord(t, env, "", "dlq", "show", at); show.code != exitOK || !strings.Contains(show.stdout, "|garbage|") {
		t.Errorf("show: exit %d\n%s%s", show.code, show.stdout, show.stderr)
	}
	if raw := concord(t, env, "", "dlq", "show", at, "--raw"); raw.stdout != "garbage" {
		t.Errorf("raw bytes %q", raw.stdout)
	}
	for name, args := range map[string][]string{
		"what is not said": {"dlq", "replay"},
		"both ways":        {"dlq", "replay", at, "--cause", "bad_framing"},
		"without --yes":    {"dlq", "replay", at},
		"no coordinates":   {"dlq", "show", "screening.events"},
	} {
		if got := concord(t, env, "", args...); got.code != exitUsage {
			t.Errorf("%s: exit %d, want %d", name, got.code, exitUsage)
		}
	}
	for _, status := range []deadletter.Status{deadletter.StatusReplayed, deadletter.StatusAlready} {
		got := concord(t, env, "", "dlq", "replay", at, "--yes", "--json")
		if got.code != exitOK || !strings.Contains(got.stdout, `"`+string(status)+`"`) {
			t.Errorf("replay: exit %d, want %s\n%s%s", got.code, status, got.stdout, got.stderr)
		}
	}
	if back := only(t, r, topics.ScreeningEvents, "gh-main/7"); string(back.Value) != "garbage" {
		t.Errorf("the record came back as %q", back.Value)
	}
}

func TestKPIMergesPartitions(t *testing.T) {
	t.Parallel()
	env := services(t)
	r := open(t, env)
	start := time.Now().Add(-time.Hour).Truncate(time.Hour)
	window := func(partition int32, revision, confirmed, failed int64) *wire.KpiWindow {
		return &wire.KpiWindow{
			Metric: "writeback", System: "gh-main", WindowStart: wire.MicrosOf(start), WindowEnd: wire.MicrosOf(start.Add(time.Hour)),
			Partition: partition, Revision: revision,
			Counts: []wire.Count{{Name: "confirmed", Value: confirmed}, {Name: "failed", Value: failed}},
		}
	}
	for _, w := range []*wire.KpiWindow{window(0, 1, 1, 0), window(0, 2, 4, 0), window(1, 1, 5, 1)} {
		put(t, r, topics.KPIWriteback, fmt.Sprint(w.Partition), w)
	}
	got := concord(t, env, "", "kpi", "--json", "--metric", "writeback")
	var windows []wire.KpiWindow
	if err := json.Unmarshal([]byte(got.stdout), &windows); err != nil || len(windows) != 1 {
		t.Fatalf("%d windows, %v\n%s", len(windows), err, got.stderr)
	}
	want := []wire.Count{{Name: "confirmed", Value: 9}, {Name: "failed", Value: 1}}
	if diff := cmp.Diff(want, windows[0].Counts); diff != "" {
		t.Errorf("only newest revisions count (-want +got):\n%s", diff)
	}
	waiting := time.Now().Add(-150 * time.Minute).UTC()
	put(t, r, topics.KPIQuality, "now", &wire.KpiWindow{
		Metric: "quality", System: "gh-main", Revision: 1,
		Counts: []wire.Count{{Name: "ats_behind", Value: 2}, {Name: "ats_behind_oldest_at", Value: int64(wire.MicrosOf(waiting))}},
	})
	text := concord(t, env, "", "kpi")
	for _, want := range []string{"0.9000", waiting.Format(time.RFC3339) + ", 2h30m0s ago"} {
		if !strings.Contains(text.stdout, want) {
			t.Errorf("no %q in:\n%s%s", want, text.stdout, text.stderr)
		}
	}
	if wrong := concord(t, env, "", "kpi", "--metric", "speed"); wrong.code != exitUsage {
		t.Errorf("unknown metric: exit %d", wrong.code)
	}
}

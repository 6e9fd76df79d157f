package main

import (
	"debug/elf"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql/parser"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/wire"
)

// A query of a rule or a dashboard asks for metrics that the product registers, by labels they have: anything else is
// an alert that never fires.
func TestRulesAndDashboardsAskForMetricsThatExist(t *testing.T) {
	t.Parallel()
	metrics := registered(t)
	queries := map[string]string{}
	for alert, expr := range rules(t) {
		queries["rule "+alert] = expr
	}
	maps.Copy(queries, dashboardQueries(t))
	if len(queries) < 50 {
		t.Errorf("only %d queries were found", len(queries))
	}
	asked := map[string]bool{}
	for where, query := range queries {
		expr, err := parser.ParseExpr(query)
		if err != nil {
			t.Errorf("%s: %v\n%s", where, err, query)
			continue
		}
		labels := map[string]bool{}
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			selector, ok := node.(*parser.VectorSelector)
			if !ok {
				return nil
			}
			known, ok := metrics[selector.Name]
			if !ok {
				t.Errorf("%s asks for %q, which nothing registers", where, selector.Name)
				return nil
			}
			asked[selector.Name] = true
			for _, m := range selector.LabelMatchers {
				if m.Name != "__name__" && !slices.Contains(known, m.Name) {
					t.Errorf("%s asks for %s by label %q; it has %v", where, selector.Name, m.Name, known)
				}
			}
			for _, l := range known {
				labels[l] = true
			}
			return nil
		})
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			if a, ok := node.(*parser.AggregateExpr); ok {
				for _, l := range a.Grouping {
					if !labels[l] {
						t.Errorf("%s groups by %q, which none of its metrics has", where, l)
					}
				}
			}
			return nil
		})
	}
	for _, name := range []string{
		"concord_stream_oldest_unprocessed_seconds", "concord_stream_deadletters_total", "concord_stream_transactions_total",
		"concord_stream_stuck_transaction_seconds", "concord_kpi_ats_behind", "concord_writeback_parked",
	} {
		if !asked[name] {
			t.Errorf("no query asks for %s, which the operators' page says to watch", name)
		}
	}
}

// rules returns the alerting rules by name, and requires of each what one needs at night.
func rules(t *testing.T) map[string]string {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	strictYAML(t, "deploy/prometheus/rules.yml", &file)
	operators, err := os.ReadFile(filepath.Join(repository, "docs/operators.md"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if _, twice := out[r.Alert]; twice || r.Alert == "" {
				t.Errorf("alert %q has no name of its own", r.Alert)
			}
			out[r.Alert] = r.Expr
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s: severity %q, want page or ticket", r.Alert, s)
			}
			if r.Annotations["summary"] == "" {
				t.Errorf("%s has no summary", r.Alert)
			}
			if want := "docs/operators.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
				t.Errorf("%s: runbook %q, want %s", r.Alert, r.Annotations["runbook"], want)
			}
			if !strings.Contains(string(operators), "\n### "+r.Alert+"\n") {
				t.Errorf("docs/operators.md has no section %s", r.Alert)
			}
		}
	}
	for _, m := range regexp.MustCompile(`\n### (Concord\w+)\n`).FindAllStringSubmatch(string(operators), -1) {
		if _, ok := out[m[1]]; !ok {
			t.Errorf("docs/operators.md describes the alert %s, which does not exist", m[1])
		}
	}
	return out
}

func strictYAML(t *testing.T, path string, into any) {
	t.Helper()
	f, err := os.Open(filepath.Join(repository, path))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// dashboardQueries returns the queries of every dashboard, those of its variables included, with Grafana's own variables
// filled in.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(repository, "deploy/grafana/dashboards/*.json"))
	if err != nil || len(paths) != 2 {
		t.Fatalf("dashboards %v, %v, want two", paths, err)
	}
	var source struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			IsDefault                    bool `yaml:"isDefault"`
			Editable                     bool
		}
	}
	strictYAML(t, "deploy/grafana/provisioning/datasources/prometheus.yml", &source)
	if len(source.Datasources) != 1 {
		t.Fatalf("%d data sources, want one", len(source.Datasources))
	}
	fill := strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h")
	variable := regexp.MustCompile(`\$(\w+)`)
	values := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`)
	out := map[string]string{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		type ref struct{ UID string }
		var d struct {
			UID, Title string
			Templating struct {
				List []struct {
					Name       string
					Definition string
					Datasource ref
				}
			}
			Panels []struct {
				Type, Title string
				Targets     []struct {
					Expr       string
					Datasource ref
				}
			}
		}
		if err := json.Unmarshal(content, &d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		var known []string
		for _, v := range d.Templating.List {
			known = append(known, v.Name)
			m := values.FindStringSubmatch(v.Definition)
			if m == nil {
				t.Errorf("%s: variable %s is no label_values(metric, label): %q", d.Title, v.Name, v.Definition)
				continue
			}
			out[d.Title+", variable "+v.Name] = fmt.Sprintf("count by (%s) (%s)", m[2], m[1])
		}
		for _, p := range d.Panels {
			if p.Type != "row" && len(p.Targets) == 0 {
				t.Errorf("%s: panel %q asks for nothing", d.Title, p.Title)
			}
			for i, target := range p.Targets {
				if target.Datasource.UID != source.Datasources[0].UID {
					t.Errorf("%s: panel %q has data source %q, want %s", d.Title, p.Title, target.Datasource.UID, source.Datasources[0].UID)
				}
				query := fill.Replace(target.Expr)
				for _, m := range variable.FindAllStringSubmatch(query, -1) {
					if !slices.Contains(known, m[1]) {
						t.Errorf("%s: panel %q uses $%s, which is no variable of it", d.Title, p.Title, m[1])
					}
				}
				out[fmt.Sprintf("%s, panel %s/%d", d.Title, p.Title, i)] = variable.ReplaceAllString(query, ".*")
			}
		}
	}
	return out
}

// built is a process that has every role, none of which runs.
func built(t *testing.T) *app {
	t.Helper()
	loaded, err := config.Load(config.Input{Env: []string{
		"CONCORD_DATA_DIR=" + t.TempDir(), "CONCORD_GATEWAY_LISTEN=127.0.0.1:0", "CONCORD_REGISTRY_STATIC=true",
		`CONCORD_ATS=[{instance: gh-main, url: "http://127.0.0.1:1", client_id: a, client_secret: b, webhook_secrets: [c]}]`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	a := &app{stdin: strings.NewReader(""), stdout: t.Output(), stderr: t.Output(), cfg: loaded, log: zap.NewNop(), metrics: newMetrics()}
	db, err := store.Open(filepath.Join(loaded.DataDir, "state"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a.closeLast("store", db.Close)
	t.Cleanup(func() {
		if err := a.closeAll(); err != nil {
			t.Error(err)
		}
	})
	schemas, err := wire.Open(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	configured, err := a.policies()
	if err != nil {
		t.Fatal(err)
	}
	a.mappings = newMappings(nil, configured, a.log)
	a.metrics.MustRegister(a.mappings.gauges(a.systems())...)
	for _, role := range roles {
		if _, err := a.build(role, schemas, db); err != nil {
			t.Fatalf("%s: %v", role, err)
		}
	}
	return a
}

// What an alert tells by its silence has a series from the start: what appears with its first value shows no increase, and
// what never came shows nothing.
func TestConfiguredSystemsHaveSeriesFromTheStart(t *testing.T) {
	t.Parallel()
	families, err := built(t).metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				labels += " " + l.GetValue()
			}
			found[f.GetName()+labels] = true
			if f.GetName() == "concord_poller_walked_timestamp_seconds" && m.GetGauge().GetValue() == 0 {
				t.Errorf("%s was walked in 1970", labels)
			}
		}
	}
	for _, want := range []string{
		"concord_gateway_requests_total greenhouse accepted gh-main", "concord_reconciler_drift_total gh-main", "concord_poller_walked_timestamp_seconds gh-main",
	} {
		if !found[want] {
			t.Errorf("no series %s", want)
		}
	}
}

// registered returns the names under which Prometheus knows the metrics of a process that runs every role, with their
// labels.
func registered(t *testing.T) map[string][]string {
	t.Helper()
	a := built(t)
	descriptions := make(chan *prometheus.Desc)
	go func() {
		a.metrics.Describe(descriptions)
		close(descriptions)
	}()
	// Where a metric's description is all that is known of it, its text is the only way to its name and labels.
	form := regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: .*, constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)
	out := map[string][]string{"up": {"job", "instance"}}
	for d := range descriptions {
		m := form.FindStringSubmatch(d.String())
		if m == nil {
			t.Errorf("no name in %s", d)
			continue
		}
		labels := []string{"job", "instance"}
		for _, l := range strings.FieldsFunc(m[2]+","+m[3], func(r rune) bool { return r == ',' }) {
			name, _, _ := strings.Cut(l, "=")
			labels = append(labels, strings.TrimSpace(name))
		}
		out[m[1]] = labels
		if strings.HasSuffix(m[1], "_seconds") {
			out[m[1]+"_bucket"] = append(slices.Clone(labels), "le")
			out[m[1]+"_sum"], out[m[1]+"_count"] = labels, labels
		}
	}
	return out
}

// The binary that the Dockerfile builds, by its own line, asks the image for nothing, and the image runs it as nobody.
func TestImageIsStaticAndNotRoot(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(repository, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	stages := strings.Split(strings.ReplaceAll(string(content), "\\\n", ""), "\nFROM ")
	build := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*) -o /concord (\./cmd/concord)`).FindStringSubmatch(string(content))
	if len(stages) != 3 || build == nil { // a comment, the stage that builds, the stage that runs
		t.Fatalf("the Dockerfile has no stage that builds and one that runs")
	}
	last := stages[2]
	if user := regexp.MustCompile(`(?m)^USER (\d+):`).FindStringSubmatch(last); user == nil || user[1] == "0" || strings.Contains(last, "\nRUN ") {
		t.Errorf("the image's last stage must set a user by number that is not root and run nothing:\n%s", last)
	}
	if !strings.HasPrefix(last, "gcr.io/distroless/static") {
		t.Errorf("the image's base is %s, want one without a shell", strings.SplitN(last, "\n", 2)[0])
	}

	binary := filepath.Join(t.TempDir(), "concord")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", build[1]+` -o "$OUT" `+build[2])
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "GOOS=linux", "VERSION=v-test", "OUT="+binary)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build[0], err, out)
	}
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has a %s segment: it needs a loader and libraries", p.Type)
		}
	}
	raw, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), "v-test") {
		t.Errorf("the binary does not carry the version it was built with")
	}
}

//go:build e2e && unix

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/audit"
	"github.com/concord-ats/concord/pkg/audit/history"
)

// finish ends a run that has settled: no group lags, every process makes progress and drains when asked, the audit and the
// history of the log are clean.
func (r *run) finish() *audit.Report {
	r.t.Helper()
	r.noLag()
	for _, p := range r.procs {
		must(r.t, p.waitReady(r.t.Context()))
	}
	r.watcher.Stop()
	ended := make(chan error, len(r.procs))
	for _, p := range r.procs {
		go func() { ended <- p.stop() }()
	}
	for range r.procs {
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	}
	report := r.audit()
	r.history()
	return report
}

// noLag waits until every group has committed all there is.
func (r *run) noLag() {
	r.t.Helper()
	client, err := kgo.NewClient(r.kafka...)
	must(r.t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	var last string
	err = eventually(r.t.Context(), time.Minute, func() bool {
		lags, err := admin.Lag(r.t.Context(), r.group+".reconciler", r.group+".writeback", r.group+".kpi")
		if err == nil {
			err = lags.Error()
		}
		if err != nil {
			last = err.Error()
			return false
		}
		behind := int64(0)
		lags.Each(func(l kadm.DescribedGroupLag) { behind += l.Lag.Total() })
		last = fmt.Sprintf("lag %d", behind)
		return behind == 0
	})
	if err != nil {
		r.t.Fatalf("the groups have not caught up: %s: %v", last, err)
	}
}

// audit is the demo's audit.
func (r *run) audit() *audit.Report {
	r.t.Helper()
	from := time.Now()
	file, err := os.Open(r.file)
	must(r.t, err)
	defer file.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	report, err := audit.Run(ctx, audit.Config{
		Options: audit.Options{
			Reconciler: r.group + ".reconciler", Writeback: r.group + ".writeback", KPI: r.group + ".kpi",
			Window: time.Hour, Horizon: 72 * time.Hour, Interrupted: r.interrupted, Resent: r.resent,
		},
		Kafka: r.kafka, Tenants: map[string]string{system: r.ats}, HTTP: &http.Client{Timeout: time.Minute}, World: file,
	})
	must(r.t, err)
	r.t.Logf("audit: %d applications, %d deliveries, %d decisions, %d writes, %d confirmed; %d raced, %d blocked; %d findings in %s", report.Applications,
		report.Deliveries, report.Decisions, report.Writes, report.Outcomes["confirmed"], report.Raced, report.Blocked, len(report.Findings), time.Since(from).Round(time.Millisecond))
	r.t.Logf("outcomes: %v", report.Outcomes)
	if report.Outcomes["confirmed"] == 0 || report.Decisions == 0 {
		r.t.Error("the run did nothing")
	}
	for _, f := range report.Findings {
		r.t.Errorf("audit: %s %s\n  %s\n  %s", f.Invariant, f.What, strings.Join(f.IDs, " "), strings.Join(f.Examples, "\n  "))
	}
	return report
}

// history is the check of the log alone, aborted transactions included.
func (r *run) history() {
	r.t.Helper()
	from := time.Now()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	report, err := history.Run(ctx, r.kafka, history.Groups{Reconciler: r.group + ".reconciler", Writeback: r.group + ".writeback", KPI: r.group + ".kpi"})
	must(r.t, err)
	r.t.Logf("history: %s; %d findings in %s", report, len(report.Findings), time.Since(from).Round(time.Millisecond))
	for _, f := range report.Findings {
		r.t.Errorf("history: %s", f)
	}
}

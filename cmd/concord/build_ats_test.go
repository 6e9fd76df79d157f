package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
)

// What is not configured keeps within the vendor's limit and uses most of it; what is configured counts.
func TestLimitFollowsThePublishedOne(t *testing.T) {
	t.Parallel()
	for _, d := range atssim.Dialects() {
		published := d.Limits()
		if published.Requests == 0 {
			continue
		}
		rate := ats.Rate{Requests: published.Requests, Window: published.Window, Burst: published.Burst}
		l := limit(config.ATS{}, rate)
		asked, may := float64(l.Rate)/l.Window.Seconds(), float64(rate.Requests)/rate.Window.Seconds()
		most := asked*rate.Window.Seconds() + float64(l.Burst) // in any one window
		if rate.Burst > 0 {
			most = asked * rate.Window.Seconds() // a bucket takes the burst besides
		}
		if asked < 0.89*may || most > float64(rate.Requests) || rate.Burst > 0 && l.Burst > rate.Burst {
			t.Errorf("%s: %d in %s and a burst of %d, of %d in %s", d.Name(), l.Rate, l.Window, l.Burst, rate.Requests, rate.Window)
		}
	}
	if l := limit(config.ATS{Rate: 7, Burst: 9}, ats.Rate{Requests: 1, Window: time.Second}); l.Rate != 7 || l.Window != time.Second || l.Burst != 9 {
		t.Errorf("configured: %+v", l)
	}
}

// Every kind that the configuration takes is one the built-in policy speaks to.
func TestClientsOfTheBuiltInPolicy(t *testing.T) {
	t.Parallel()
	a := &app{}
	for _, kind := range []string{"greenhouse", "lever", "ashby", "workable", "smartrecruiters", "generic"} {
		a.cfg.ATS = append(a.cfg.ATS, config.ATS{Instance: kind + "-1", Kind: kind, URL: "https://ats.example", ClientID: "c", ClientSecret: "s", UserID: "m"})
	}
	for _, tenant := range a.cfg.ATS {
		m, err := a.translation(tenant.Instance)
		if err != nil {
			t.Fatal(err)
		}
		client, err := a.atsClient(tenant, m, time.Second, nil)
		if err != nil {
			t.Fatalf("%s: %v", tenant.Kind, err)
		}
		caps := client.Capabilities()
		if caps.Name != tenant.Kind && tenant.Kind != "generic" || !caps.Writable("screening_score") || !caps.Reject || !caps.Hire {
			t.Errorf("%s: %+v", tenant.Kind, caps)
		}
	}
}

// A region pin is the policy's region, code by code; one the policy does not know is a fault of the configuration.
func TestRegionPins(t *testing.T) {
	t.Parallel()
	a := &app{}
	configured, err := a.policies()
	if err != nil {
		t.Fatal(err)
	}
	a.mappings = newMappings(nil, configured, zap.NewNop())
	codes, ok := regionCodes(configured[0], "eu")
	if !ok || !slices.Contains(codes, "de") || slices.Contains(codes, "us") {
		t.Errorf("eu: %v, %v", codes, ok)
	}
	if codes, ok := regionCodes(configured[0], ""); !ok || codes != nil || a.pinned(config.ATS{}, false, "ats[0].region") != nil {
		t.Errorf("no pin: %v, %v", codes, ok)
	}
	if err := a.pinned(config.ATS{Region: "mars"}, true, "ats[0].region"); code(err) != exitUsage || !strings.Contains(err.Error(), "ats[0].region = mars") {
		t.Errorf("mars: %v", err)
	}
	eu := config.ATS{Kind: "lever", Region: "eu"}
	if err := a.pinned(eu, true, "ats[0].region"); err != nil {
		t.Errorf("a region that reads tell: %v", err)
	}
	if err := a.pinned(eu, false, "ats[0].region"); code(err) != exitUsage || !strings.Contains(err.Error(), "record.region") {
		t.Errorf("a region that no read tells: %v", err)
	}
}

// What an ATS's day has left is shown, and falls with what is asked.
func TestTheQuotaIsShown(t *testing.T) {
	t.Parallel()
	a := &app{metrics: prometheus.NewRegistry()}
	b := a.bill("own")
	if err := b.open(a, nil, config.ATS{Instance: "own"}, daily{}); err != nil {
		t.Fatal(err)
	}
	for want := 5.0; want > 3; want-- {
		families, err := a.metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		if len(families) != 1 || families[0].GetName() != "concord_ats_quota_left" || families[0].GetMetric()[0].GetGauge().GetValue() != want {
			t.Fatalf("shown %v, want %v left", families, want)
		}
		done, err := b.pay(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done(true)
	}
}

// daily is an ATS that takes five requests a day.
type daily struct{ ats.Client }

func (daily) Capabilities() ats.Capabilities {
	return ats.Capabilities{Rate: ats.Rate{Requests: 10, Window: time.Second, Daily: 5}}
}

// Processes share the calls at once that an ATS allows; each has one.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ configured, allowed, processes, want int }{{16, 8, 1, 8}, {16, 8, 3, 2}, {1, 8, 2, 1}, {16, 8, 20, 1}, {16, 0, 4, 16}} {
		if got := atOnce(c.configured, c.allowed, c.processes); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

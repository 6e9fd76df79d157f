package writeback

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/ashby"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/atstest"
	"github.com/concord-ats/concord/pkg/ats/generic"
	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/ats/lever"
	"github.com/concord-ats/concord/pkg/ats/smartrecruiters"
	"github.com/concord-ats/concord/pkg/ats/workable"
	"github.com/concord-ats/concord/pkg/wire"
)

// dialects are those the worker's faults are tried on.
var dialects = []atssim.Dialect{atssim.Greenhouse{}, atssim.Lever{}, atssim.Ashby{}, atssim.Workable{}, atssim.SmartRecruiters{}, atssim.Inhouse{}}

// edits is how many changes of an application one write of elements makes: tags are added, then others removed.
var edits = map[string]int{"greenhouse": 1, "lever": 2, "ashby": 1, "workable": 1, "smartrecruiters": 1, "inhouse": 1}

// asShown is a version as the dialect shows it: the times of Workable and SmartRecruiters are cut to the second.
func (s *system) asShown(version int64) int64 {
	if name := s.dialect.Name(); name == "workable" || name == "smartrecruiters" {
		return version - version%1_000_000
	}
	return version
}

// newClient is a client of a simulated tenant of a dialect, which pays for its requests where pay is not nil.
func newClient(d atssim.Dialect, url, name string, pay ats.Pay) (ats.Client, error) {
	http := ats.HTTPConfig{Pay: pay}
	kind := d.Name()
	if kind == "inhouse" {
		kind = "generic"
	}
	m := atstest.Mapping(kind, name)
	m.Regions = map[string]string{ // Berlin and New York, which are seeded in that order where places have ids
		"Berlin": "de", "New York": "us", "DE": "de", "US": "us", d.Spell(atssim.KindOffice, 54): "de", d.Spell(atssim.KindOffice, 55): "us",
	}
	const lag = 200 * time.Millisecond
	switch d.Name() {
	case "greenhouse":
		return greenhouse.New(greenhouse.Config{BaseURL: url, TokenURL: url + "/token", ClientID: "concord", ClientSecret: "secret", Mapping: greenhouse.Mapping(m), ReadLag: lag, HTTP: http})
	case "lever":
		return lever.New(lever.Config{BaseURL: url, APIKey: "secret", Mapping: m, ReadLag: lag, HTTP: http})
	case "ashby":
		return ashby.New(ashby.Config{BaseURL: url, APIKey: "secret", Mapping: m, ReadLag: lag, HTTP: http})
	case "workable":
		return workable.New(workable.Config{BaseURL: url, Token: "secret", MemberID: "1f395d", Mapping: m, ReadLag: lag, HTTP: http})
	case "smartrecruiters":
		return smartrecruiters.New(smartrecruiters.Config{BaseURL: url, ClientSecret: "secret", Mapping: m, ReadLag: lag, HTTP: http})
	case "inhouse":
		description, err := generic.Parse("example.yaml", generic.Example)
		if err != nil {
			return nil, err
		}
		return generic.New(generic.Config{Description: description, BaseURL: url, ClientSecret: "secret", Mapping: m, ReadLag: lag, HTTP: http})
	}
	return nil, fmt.Errorf("no client for %s", d.Name())
}

// native is a tuple of the simulator's numbers as the dialect writes ids.
func (s *system) native(t wire.Tuple) wire.Tuple {
	for _, id := range []struct {
		kind atssim.Kind
		text *string
	}{{atssim.KindStage, &t.Stage}, {atssim.KindReason, &t.Reason}} {
		if n, err := strconv.ParseInt(*id.text, 10, 64); err == nil {
			*id.text = s.dialect.Spell(id.kind, n)
		}
	}
	return t
}

// No more calls are made at once than the ATS allows, whatever is configured.
func TestCallsAtOnceKeepToTheATSsLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ configured, allowed, want int }{{16, 8, 8}, {4, 8, 4}, {0, 0, 8}, {16, 0, 16}} {
		client := &wrecker{caps: &ats.Capabilities{Rate: ats.Rate{Concurrent: c.allowed}}}
		if got := cap(newTenant(&Worker{}, "gh", System{Client: client, Concurrency: c.configured}).slots); got != c.want {
			t.Errorf("%+v: %d at once", c, got)
		}
	}
}

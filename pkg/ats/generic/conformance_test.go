package generic_test

import (
	"os"
	"testing"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/atstest"
	"github.com/concord-ats/concord/pkg/ats/generic"
	"github.com/concord-ats/concord/pkg/webhook"
)

func described(t *testing.T, file string) *generic.Description {
	t.Helper()
	text := generic.Example
	if file != "example.yaml" {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	d, err := generic.Parse(file, text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Two ATSs that are as unlike as they come, spoken to by a description alone.
func TestConformance(t *testing.T) {
	t.Parallel()
	for dialect, file := range map[atssim.Dialect]string{atssim.Inhouse{}: "example.yaml", atssim.Greenhouse{}: "testdata/greenhouse.yaml"} {
		d := described(t, file)
		atstest.Run(t, atstest.Adapter{Dialect: dialect, New: func(s atstest.Tenant) (ats.Client, error) {
			return generic.New(generic.Config{
				Description: d, BaseURL: s.URL, ClientID: s.ClientID, ClientSecret: s.Secret, Mapping: s.Mapping, ReadLag: s.ReadLag, Now: s.Now,
			})
		}})
	}
}

func TestConformanceOfWebhooks(t *testing.T) {
	t.Parallel()
	d := described(t, "example.yaml")
	atstest.RunWebhooks(t, atssim.Inhouse{}, func(m ats.Mapping, secrets ...string) webhook.Sender {
		s, err := generic.NewSender(d, m, secrets...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, "create", "move", "reject", "unreject", "edit", "hire", "merge", "anonymize", "delete")
}

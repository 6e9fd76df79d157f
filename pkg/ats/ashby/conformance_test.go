package ashby_test

import (
	"testing"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/ashby"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/atstest"
	"github.com/concord-ats/concord/pkg/webhook"
)

// Also proves scenario 14: against Ashby's dialect, which answers so.
func TestConformance(t *testing.T) {
	t.Parallel()
	dialect := atssim.Ashby{}
	atstest.Run(t, atstest.Adapter{Dialect: dialect, New: func(s atstest.Tenant) (ats.Client, error) {
		for i := range s.Mapping.Fields {
			if f := &s.Mapping.Fields[i]; f.Key != "" {
				f.Key = dialect.Spell(atssim.KindField, f.ID)
			}
		}
		return ashby.New(ashby.Config{BaseURL: s.URL, APIKey: s.Secret, Mapping: s.Mapping, ReadLag: s.ReadLag})
	}})
}

func TestConformanceOfWebhooks(t *testing.T) {
	t.Parallel()
	atstest.RunWebhooks(t, atssim.Ashby{}, func(m ats.Mapping, secrets ...string) webhook.Sender {
		return ashby.Webhooks{Mapping: m, Secrets: secrets}
	}, "create", "move", "reject", "unreject", "edit", "hire", "merge", "delete")
}

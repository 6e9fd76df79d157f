package smartrecruiters_test

import (
	"strings"
	"testing"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/atstest"
	"github.com/concord-ats/concord/pkg/ats/smartrecruiters"
	"github.com/concord-ats/concord/pkg/webhook"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	dialect := atssim.SmartRecruiters{}
	halves := func(id string) (candidate, job string) {
		candidate, job, _ = strings.Cut(id, "_")
		return candidate, job
	}
	atstest.Run(t, atstest.Adapter{Dialect: dialect, Named: halves, New: func(s atstest.Tenant) (ats.Client, error) {
		for i := range s.Mapping.Fields {
			if f := &s.Mapping.Fields[i]; f.Key != "" {
				f.Key = dialect.Spell(atssim.KindField, f.ID)
			}
		}
		return smartrecruiters.New(smartrecruiters.Config{
			BaseURL: s.URL, ClientID: s.ClientID, ClientSecret: s.Secret, Mapping: s.Mapping, ReadLag: s.ReadLag, Now: s.Now,
		})
	}})
}

func TestConformanceOfWebhooks(t *testing.T) {
	t.Parallel()
	atstest.RunWebhooks(t, atssim.SmartRecruiters{}, func(m ats.Mapping, secrets ...string) webhook.Sender {
		return smartrecruiters.Webhooks{System: m.System, Secrets: secrets}
	}, "create", "move", "reject", "unreject", "edit", "hire", "delete")
}

package lever_test

import (
	"testing"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/atstest"
	"github.com/concord-ats/concord/pkg/ats/lever"
	"github.com/concord-ats/concord/pkg/webhook"
)

// Also proves scenario 15: against Lever's dialect, which answers so.
func TestConformance(t *testing.T) {
	t.Parallel()
	dialect := atssim.Lever{}
	atstest.Run(t, atstest.Adapter{Dialect: dialect, New: func(s atstest.Tenant) (ats.Client, error) {
		s.Mapping.HireReason = dialect.Spell(atssim.KindReason, atssim.LeverHired)
		return lever.New(lever.Config{BaseURL: s.URL, APIKey: s.Secret, UserID: "be129d9b-50da-4485-9377-0d83e981f30b", Mapping: s.Mapping, ReadLag: s.ReadLag})
	}})
}

func TestConformanceOfWebhooks(t *testing.T) {
	t.Parallel()
	atstest.RunWebhooks(t, atssim.Lever{}, func(m ats.Mapping, secrets ...string) webhook.Sender {
		return lever.Webhooks{System: m.System, Secrets: secrets}
	}, "create", "move", "reject", "unreject", "hire", "delete")
}

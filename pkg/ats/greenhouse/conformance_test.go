package greenhouse_test

import (
	"testing"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/atstest"
	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/webhook"
)

// Also proves scenario 10: each adapter tells the two 429s apart.
// Also proves scenario 11: each adapter keeps to a cap.
func TestConformance(t *testing.T) {
	t.Parallel()
	atstest.Run(t, atstest.Adapter{Dialect: atssim.Greenhouse{}, New: func(s atstest.Tenant) (ats.Client, error) {
		return greenhouse.New(greenhouse.Config{
			BaseURL: s.URL, TokenURL: s.URL + "/token", ClientID: s.ClientID, ClientSecret: s.Secret,
			Mapping: greenhouse.Mapping(s.Mapping), ReadLag: s.ReadLag, Now: s.Now,
		})
	}})
}

func TestConformanceOfWebhooks(t *testing.T) {
	t.Parallel()
	atstest.RunWebhooks(t, atssim.Greenhouse{}, func(m ats.Mapping, secrets ...string) webhook.Sender {
		return greenhouse.Webhooks{Mapping: greenhouse.Mapping(m), Secrets: secrets}
	}, "create", "move", "reject", "unreject", "edit", "hire", "merge", "anonymize", "delete")
}

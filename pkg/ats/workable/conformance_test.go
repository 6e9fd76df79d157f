package workable_test

import (
	"testing"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/atstest"
	"github.com/concord-ats/concord/pkg/ats/workable"
	"github.com/concord-ats/concord/pkg/webhook"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	person := func(id string) (candidate, job string) { return id, "" }
	atstest.Run(t, atstest.Adapter{Dialect: atssim.Workable{}, Named: person, New: func(s atstest.Tenant) (ats.Client, error) {
		return workable.New(workable.Config{BaseURL: s.URL, Token: s.Secret, MemberID: "1f395d", Mapping: s.Mapping, ReadLag: s.ReadLag, Now: s.Now})
	}})
}

func TestConformanceOfWebhooks(t *testing.T) {
	t.Parallel()
	atstest.RunWebhooks(t, atssim.Workable{}, func(m ats.Mapping, secrets ...string) webhook.Sender {
		return workable.Webhooks{System: m.System, Secrets: secrets}
	}, "create", "move", "hire", "delete")
}

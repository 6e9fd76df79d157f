package greenhouse_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atstest"
	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/wire"
)

// The published objects, which are those of Harvest v1, are read as far as v3 keeps their members: whose they are, where they
// stand and since when, whatever else they hold.
func TestPublishedObjects(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]struct {
		file string
		ats.Reading
	}{
		"985314": {"application_object", ats.Reading{
			Tuple: wire.Tuple{
				Stage: "62828", Status: wire.ApplicationStatusRejected, Reason: "8",
				Version: time.Date(2016, 8, 27, 16, 13, 15, 0, time.UTC).UnixMicro(),
			},
			StageName: "Recruiter Phone Screen", CandidateID: "978031", Requisition: wire.Requisition{ID: "123"},
		}},
		"69306314": {"application_retrieved", ats.Reading{
			Tuple:     wire.Tuple{Stage: "767358", Status: wire.ApplicationStatusActive, Version: time.Date(2017, 9, 29, 13, 0, 28, 38e6, time.UTC).UnixMicro()},
			StageName: "Application Review", CandidateID: "57683957", Requisition: wire.Requisition{ID: "107761"},
		}},
	} {
		object, err := os.ReadFile("testdata/harvest/" + want.file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			switch q.URL.Path {
			case "/token":
				_, _ = io.WriteString(w, `{"access_token":"t","expires_in":3600}`)
			case "/v3/applications":
				_, _ = io.WriteString(w, "["+string(object)+"]")
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		}))
		t.Cleanup(front.Close)
		client, err := greenhouse.New(greenhouse.Config{
			BaseURL: front.URL, TokenURL: front.URL + "/token", ClientID: "concord", ClientSecret: "secret", Mapping: greenhouse.Mapping(atstest.GreenhouseMapping("gh-main")),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		got, err := client.Read(t.Context(), id)
		if err != nil {
			t.Fatalf("%s: %v", want.file, err)
		}
		got.AsOf, got.UpdatedAt, got.Tuple.Elements = time.Time{}, time.Time{}, nil
		if diff := cmp.Diff(want.Reading, got); diff != "" {
			t.Errorf("%s: %s", want.file, diff)
		}
	}
}

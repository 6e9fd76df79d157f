package atssim_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/concord-ats/concord/pkg/ats/atssim"
)

// Two tenants share an address and nothing else.
func TestTenantsShareNothing(t *testing.T) {
	t.Parallel()
	sim, err := atssim.NewTenants(atssim.Config{ClientSecret: "secret-{tenant}"}, []string{"eu", "us"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim)
	t.Cleanup(srv.Close)
	call(t, "POST", srv.URL+"/eu/_sim/applications", `[{"id":1}]`)
	if _, body := call(t, "GET", srv.URL+"/eu/_sim/applications", ""); !strings.Contains(body, `"id":1`) {
		t.Errorf("eu: %s", body)
	}
	if _, body := call(t, "GET", srv.URL+"/us/_sim/applications", ""); strings.Contains(body, `"id":1`) {
		t.Errorf("us: %s", body)
	}
	token := func(tenant, secret string) int {
		res, _ := call(t, "POST", strings.Replace(srv.URL, "http://", "http://concord:"+secret+"@", 1)+"/"+tenant+"/token", "grant_type=client_credentials")
		return res.StatusCode
	}
	if token("eu", "secret-eu") != 200 || token("eu", "secret-us") != 401 {
		t.Error("a tenant takes another one's credential")
	}
	if res, _ := call(t, "GET", srv.URL+"/readyz", ""); res.StatusCode != 200 {
		t.Errorf("readyz: %d", res.StatusCode)
	}
	for _, names := range [][]string{nil, {""}, {"a", "a"}, {"a/b"}, {"_sim"}} {
		if _, err := atssim.NewTenants(atssim.Config{}, names); err == nil {
			t.Errorf("%q: accepted", names)
		}
	}
}

package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
)

// The simulated ATS takes the credential its help names, as `ats[].client_secret` has to be given.
func TestSimATSTakesTheCredentialItNames(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	out, ended := &buffer{}, make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"sim", "ats", "--listen", "127.0.0.1:0"}, nil, strings.NewReader(""), out, t.Output())
	}()
	await(t, func() bool { return strings.Contains(out.String(), "\n") })
	for secret, want := range map[string]int{"secret": http.StatusOK, "": http.StatusUnauthorized, "other": http.StatusUnauthorized} {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSpace(out.String())+"/token", strings.NewReader("grant_type=client_credentials"))
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth("concord", secret)
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
		if response.StatusCode != want {
			t.Errorf("secret %q: status %d, want %d", secret, response.StatusCode, want)
		}
	}
	stop()
	if c := <-ended; c != exitOK {
		t.Errorf("exit %d", c)
	}
}

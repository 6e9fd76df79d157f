package webhook_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/webhook"
)

// The vector of the reference implementations of Standard Webhooks.
const (
	standardSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	standardID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	standardTimestamp = "1614265330"
	standardBody      = `{"test": 2432232314}`
	standardSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func standardHeader(prefix, signature string) http.Header {
	h := http.Header{}
	h.Set(prefix+"-id", standardID)
	h.Set(prefix+"-timestamp", standardTimestamp)
	h.Set(prefix+"-signature", signature)
	return h
}

func TestStandardWebhooks(t *testing.T) {
	t.Parallel()
	key, ok := webhook.StandardSecret(standardSecret)
	if !ok {
		t.Fatal("the published secret is refused")
	}
	if bare, ok := webhook.StandardSecret(strings.TrimPrefix(standardSecret, "whsec_")); !ok || bare != key {
		t.Error("the prefix is optional")
	}
	if got := webhook.SignStandard(key, standardID, standardTimestamp, []byte(standardBody)); got != standardSignature {
		t.Errorf("signed %s", got)
	}
	signed := time.Unix(1614265330, 0)
	for name, c := range map[string]struct {
		header http.Header
		body   string
		keys   []string
		now    time.Time
		want   error
	}{
		"published":         {standardHeader("webhook", standardSignature), standardBody, []string{key}, signed, nil},
		"older header name": {standardHeader("svix", standardSignature), standardBody, []string{key}, signed, nil},
		"second of several": {standardHeader("webhook", "v1,bm9wZQ== v1a,abcd "+standardSignature), standardBody, []string{key}, signed, nil},
		"rotated":           {standardHeader("webhook", standardSignature), standardBody, []string{"new", key}, signed, nil},
		"five minutes":      {standardHeader("webhook", standardSignature), standardBody, []string{key}, signed.Add(5 * time.Minute), nil},
		"replayed":          {standardHeader("webhook", standardSignature), standardBody, []string{key}, signed.Add(5*time.Minute + time.Second), webhook.ErrReplay},
		"of the future":     {standardHeader("webhook", standardSignature), standardBody, []string{key}, signed.Add(-5*time.Minute - time.Second), webhook.ErrReplay},
		"another version":   {standardHeader("webhook", "v2"+standardSignature[2:]), standardBody, []string{key}, signed, webhook.ErrSignature},
		"another body":      {standardHeader("webhook", standardSignature), standardBody + " ", []string{key}, signed, webhook.ErrSignature},
		"another secret":    {standardHeader("webhook", standardSignature), standardBody, []string{"other"}, signed, webhook.ErrSignature},
		"no secret":         {standardHeader("webhook", standardSignature), standardBody, nil, signed, webhook.ErrSignature},
		"empty secret":      {standardHeader("webhook", webhook.SignStandard("", standardID, standardTimestamp, []byte(standardBody))), standardBody, []string{""}, signed, webhook.ErrSignature},
		"no headers":        {http.Header{}, standardBody, []string{key}, signed, webhook.ErrSignature},
	} {
		id, err := webhook.VerifyStandard(c.header, []byte(c.body), c.keys, c.now)
		if !errors.Is(err, c.want) || (err == nil) != (id == standardID) {
			t.Errorf("%s: %q, %v; want %v", name, id, err, c.want)
		}
	}
	// The dot between the parts must not let one part pass for another.
	moved := standardHeader("webhook", webhook.SignStandard(key, "a", "1614265330", []byte("1614265330.{}")))
	moved.Set("webhook-id", "a.1614265330")
	if _, err := webhook.VerifyStandard(moved, []byte("{}"), []string{key}, signed); err == nil {
		t.Error("a part of the body passed for the timestamp")
	}
}

func TestDeep(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want bool
	}{
		"flat":               {`{"a":1}`, false},
		"at the bound":       {strings.Repeat("[", webhook.MaxDepth) + strings.Repeat("]", webhook.MaxDepth), false},
		"over the bound":     {strings.Repeat(`{"a":`, webhook.MaxDepth+1), true},
		"brackets in text":   {`"` + strings.Repeat("[", 1000) + `"`, false},
		"escaped quote":      {`"\"` + strings.Repeat("[", 1000) + `"`, false},
		"after a text":       {`"\\"` + strings.Repeat("[", 1000), true},
		"closed in between":  {strings.Repeat("[]", 1000), false},
		"ends in an escape":  {`"\`, false},
		"closed too often":   {strings.Repeat("]", 1000) + strings.Repeat("[", 500), false},
		"nothing":            {"", false},
		"siblings are level": {"[" + strings.Repeat("[1],", 1000) + "1]", false},
	} {
		if got := webhook.Deep([]byte(c.body)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

package atssim

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxTokens bounds the live tokens; the oldest goes first.
const maxTokens = 64

// serveToken is the OAuth2 client-credentials endpoint: the credentials in HTTP Basic or in the form.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(w, r, 16<<10)
	if err != nil {
		s.send(w, r, s.dialect.refuse(http.StatusRequestEntityTooLarge, "", "invalid_request"))
		return
	}
	form, _ := url.ParseQuery(string(body)) // what cannot be read is not there
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = form.Get("client_id"), form.Get("client_secret")
	}

	s.mu.Lock()
	a := s.grant(same(id, s.cfg.ClientID) && same(secret, s.cfg.ClientSecret), form.Get("grant_type"))
	s.requests++
	s.journal.add(Entry{
		Time: s.cfg.Now(), Type: EntryRequest, Kind: "token", RequestID: fmt.Sprintf("req-%d", s.requests),
		Method: r.Method, Path: r.URL.Path, Status: a.status,
	})
	s.mu.Unlock()
	s.send(w, r, a)
}

func (s *Server) grant(known bool, grant string) answer {
	switch {
	case !known || s.revoked:
		return answer{status: http.StatusUnauthorized, body: map[string]string{"error": "invalid_client"}}
	case grant != "client_credentials":
		return answer{status: http.StatusBadRequest, body: map[string]string{"error": "unsupported_grant_type"}}
	}
	s.tokenSeq++
	t := token{
		value:   fmt.Sprintf("sim-%016x-%d", draw(s.cfg.Seed, "token", 0, s.tokenSeq), s.tokenSeq),
		expires: s.cfg.Now().Add(s.cfg.TokenTTL),
	}
	if len(s.tokens) == maxTokens {
		s.tokens = slices.Delete(s.tokens, 0, 1)
	}
	s.tokens = append(s.tokens, t)
	return answer{status: http.StatusOK, body: map[string]any{
		"access_token": t.value, "token_type": "Bearer", "expires_in": int64(s.cfg.TokenTTL / time.Second),
		"expires_at": stamp(t.expires.Add(s.cfg.ClockOffset)).Format(time.RFC3339Nano),
	}}
}

func (s *Server) tokenIndex(authorization string) int {
	value, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok {
		return -1
	}
	return slices.IndexFunc(s.tokens, func(t token) bool {
		return subtle.ConstantTimeCompare([]byte(t.value), []byte(value)) == 1
	})
}

// bearer admits a request with a live access token.
func (s *Server) bearer(r *http.Request) bool {
	i := s.tokenIndex(r.Header.Get("Authorization"))
	return i >= 0 && s.cfg.Now().Before(s.tokens[i].expires)
}

// basicKey admits a request with the secret as the user of HTTP Basic and no password.
func (s *Server) basicKey(r *http.Request) bool {
	key, password, ok := r.BasicAuth()
	return ok && password == "" && same(key, s.cfg.ClientSecret)
}

// same compares credentials in constant time.
func same(given, want string) bool {
	return subtle.ConstantTimeCompare([]byte(given), []byte(want)) == 1
}

func (s *Server) dropToken(authorization string) {
	if i := s.tokenIndex(authorization); i >= 0 {
		s.tokens = slices.Delete(s.tokens, i, i+1)
	}
}

// ExpireTokens ends the life of every access token; new ones are granted.
func (s *Server) ExpireTokens() {
	s.mu.Lock()
	s.tokens = nil
	s.mu.Unlock()
}

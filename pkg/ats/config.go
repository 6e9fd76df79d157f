package ats

import (
	"errors"
	"fmt"
	"time"
)

// CheckConfig returns the faults of what every client is configured with: its mapping, how long a read may lag, and the
// URLs it calls. An empty URL is no fault: it stands for the vendor's own.
func CheckConfig(m *Mapping, readLag time.Duration, baseURL, tokenURL string) []error {
	faults := []error{m.Validate()}
	for _, u := range []struct{ name, value string }{{"base url", baseURL}, {"token url", tokenURL}} {
		if u.value == "" {
			continue
		}
		if err := CheckBase(u.value); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", u.name, err))
		}
	}
	if readLag < 0 {
		faults = append(faults, errors.New("read lag: must not be negative"))
	}
	return faults
}

// DefaultReadLag is how long a read is taken to lag where the vendor publishes nothing of it.
const DefaultReadLag = 5 * time.Second

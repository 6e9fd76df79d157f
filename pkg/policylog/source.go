package policylog

import (
	"encoding/json"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/topics"
)

const sourceKey = "source/"

// SourceRecord is the record of the files a bundle was written in, with the lines and comments that its archive does not
// have.
func SourceRecord(p *policy.Policy, files policy.Files) (*kgo.Record, error) {
	texts := map[string]string{}
	for name, text := range files {
		texts[name] = string(text)
	}
	value, err := json.Marshal(texts)
	if err != nil {
		return nil, fmt.Errorf("files of %s: %w", p.Digest(), err)
	}
	return &kgo.Record{Topic: topics.Policy, Key: []byte(sourceKey + p.Digest().String()), Value: value, Partition: -1}, nil
}

// Source returns a bundle as it was written, with the places of what it says; nil where the topic does not have that, or has
// files of another meaning. It is for people: nothing is judged by it.
func (l *Log) Source(d hiring.Digest) *policy.Policy {
	l.mu.Lock()
	value := l.sources[d]
	l.mu.Unlock()
	var texts map[string]string
	if value == nil || json.Unmarshal(value, &texts) != nil {
		return nil
	}
	files := policy.Files{}
	for name, text := range texts {
		files[name] = []byte(text)
	}
	p, err := policy.Parse(files)
	if err != nil {
		return nil
	}
	if full := p.Digest(); hiring.Digest(full[:16]) != d {
		return nil
	}
	return p
}

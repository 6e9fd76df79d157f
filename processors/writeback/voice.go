package writeback

import (
	"cmp"
	"encoding/hex"
	"errors"
	"slices"

	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// speak makes the job speak as the policy of a command calls things: what it reads, writes and reads back is in the words of
// that policy, whatever has come into force since. A policy that cannot be used is waited for; then the command is given back,
// or blocked when it may have been written in words nobody here knows. False ends the step.
func (j *job) speak(q *Pending, a *Attempt) bool {
	digest, until, told := q.Command.Policy, j.patience(q), false
	if a != nil { // it may be found after a long time away
		until = j.w.now().Add(j.w.cfg.DeferAfter)
	}
	defer func() {
		if told {
			j.t.found(digest)
		}
	}()
	for n := 1; ; n++ {
		v, err := j.under(digest)
		var unusable *PolicyError
		if errors.As(err, &unusable) && a != nil {
			if same, ok := j.t.again(a.Mapping); ok {
				v, err = same, nil
			}
		}
		if err == nil {
			j.voice, j.caps = v, v.Client.Capabilities()
			j.caps.ReadLag = cmp.Or(max(0, j.caps.ReadLag), j.w.cfg.ReadLag)
			return true
		}
		if j.p.soft.Err() != nil {
			return false
		}
		if !told {
			told = true
			j.t.loses(digest, err)
		}
		wait := j.w.backoff(n)
		switch over := j.w.now().Add(wait).After(until); {
		case over && a == nil:
			j.end(q, nil, ending{Verdict: verdict(wire.OutcomeKindDeferred, DetailPolicy)})
			return false
		case over && unusable != nil && unusable.Absent:
			v := verdict(wire.OutcomeKindBlocked, DetailPolicy)
			if j.newer(a) {
				v = verdict(wire.OutcomeKindSuperseded, DetailNewer)
			}
			j.end(q, a, ending{Verdict: v})
			return false
		}
		if !j.rest(wait) {
			return false
		}
	}
}

func (j *job) under(policy wire.Digest) (Voice, error) {
	s := j.w.cfg.Systems[j.t.system]
	if s.Under == nil {
		return Voice{Client: s.Client, Regions: s.Regions}, nil
	}
	return s.Under(j.p.soft, policy)
}

func (t *tenant) again(mapping wire.Digest) (Voice, bool) {
	if mapping == (wire.Digest{}) {
		return Voice{}, false
	}
	return t.w.cfg.Systems[t.system].Again(mapping)
}

// loses notes that a job has a command of a policy that cannot be used.
func (t *tenant) loses(policy wire.Digest, err error) {
	t.mu.Lock()
	l := t.lost[policy]
	first := l.jobs == 0
	t.lost[policy] = lost{l.jobs + 1, err.Error()}
	t.mu.Unlock()
	if first {
		t.w.log.Error("commands wait: what their policy calls things is not known here", zap.String("system", t.system), zap.String("policy", hex.EncodeToString(policy[:])), zap.Error(err))
	}
}

// found undoes loses.
func (t *tenant) found(policy wire.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lost[policy]
	if l.jobs--; l.jobs <= 0 {
		delete(t.lost, policy)
		return
	}
	t.lost[policy] = l
}

// covers refuses what is not of a region that is written here: what the ATS shows counts, and what the command says where the
// ATS shows none. An application of no known region may be of any, so that it is refused wherever not all are written.
func (v *Voice) covers(cmd *wire.Command, shown *ats.Reading) Verdict {
	region := cmp.Or(shown.Requisition.Region, cmd.Requisition.Region)
	switch {
	case len(v.Regions) == 0 || slices.Contains(v.Regions, region):
		return Verdict{}
	case region == "":
		return verdict(wire.OutcomeKindRefused, DetailRegionUnknown)
	}
	return verdict(wire.OutcomeKindRefused, DetailRegion)
}

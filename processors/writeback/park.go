package writeback

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// parkKey is the key of a system's open incident among the states of a partition. No application id begins so.
func parkKey(system string) string { return "\x00parked/" + system }

// parked acts on a breaker's change: the call that parks a system opens an incident in the partition it worked
// for. The incident is state, so that it is resolved after a restart too, by whoever owns the partition then.
func (j *job) parked(change transition, err error) {
	if change == unchanged {
		return
	}
	if change != opened {
		j.w.log.Info("ATS works again", zap.String("system", j.t.system))
		return
	}
	code := ats.CodeOf(err)
	j.w.log.Warn("ATS is parked: its commands are kept, and it is tried now and then", zap.String("system", j.t.system), zap.String("code", string(code)))
	subject := j.e.cur.Load().LastID
	// An error means that the partition is gone: whoever has it next meets the same fault.
	_ = j.p.p.Submit(j.p.ctx, func(t *tx) error {
		key := parkKey(j.t.system)
		if s, _, err := t.Get(key); err != nil || s != nil {
			return err
		}
		at := t.Now()
		// The time tells it from an incident the same command opened before: an id is counted once.
		sum := sha256.Sum256([]byte(j.t.system + "\x00tenant_parked\x00" + string(code) + "\x00" + subject + "\x00" + strconv.FormatInt(at, 10)))
		p := &Parked{ID: hex.EncodeToString(sum[:16]), System: j.t.system, Subject: subject, Code: string(code), OpenedAt: at}
		j.p.incident(t, p, wire.IncidentChangeOpened, 0)
		s := &State{Parked: p}
		s.CheckAt = j.w.cfg.checkAt(s, at)
		return j.p.put(t, key, s)
	})
}

// incident publishes a change of a system's incident. It is about no application: its key is the system.
func (p *part) incident(t *tx, k *Parked, change wire.IncidentChange, closedAt int64) {
	p.produceKeyed(t, topics.HiringConflicts, k.System, &wire.Incident{
		ID: k.ID, Kind: wire.IncidentKindTenantParked, Change: change, Element: k.Code, Subject: k.Subject, System: k.System,
		OpenedAt: wire.Micros(k.OpenedAt), ClosedAt: wire.Micros(closedAt),
	})
}

// firePark resolves the incident once a call to the system has worked since it was opened.
func (x *processor) firePark(t *tx, p *part, key string, s *State) error {
	if tenant := x.w.byName[s.Parked.System]; tenant != nil {
		open, lastOK := tenant.health()
		if open || !lastOK.After(time.UnixMicro(s.Parked.OpenedAt)) {
			return p.put(t, key, s.with(func(s *State) { s.CheckAt = x.w.cfg.checkAt(s, t.Now()) }))
		}
	}
	p.incident(t, s.Parked, wire.IncidentChangeResolved, t.Now())
	return t.Delete(key)
}

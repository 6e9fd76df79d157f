package policylog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// Config is what a Log needs.
type Config struct {
	Kafka   []kgo.Opt
	Schemas *wire.Schemas
	// Signers reads who may sign, whenever a bundle is proven, so that a revoked key counts at once; nil means that nothing can
	// be proven.
	Signers func() (*policy.Signers, error)
	// Dev takes bundles without asking for signatures.
	Dev bool
	// Dir is where archives are kept that were proven, for when the topic has lost one that is in force; empty for nowhere.
	Dir    string
	Logger *zap.Logger // may be nil
}

// readTimeout bounds one reading of the topic to its end.
const readTimeout = 20 * time.Second

// Log is what is known of the topic. It reads when it is asked for what it does not know. Safe for concurrent use.
type Log struct {
	cfg Config

	reading sync.Mutex      // held while the topic is read
	next    map[int32]int64 // where the reading goes on

	mu       sync.Mutex
	bundles  map[hiring.Digest]*Bundle
	refused  map[hiring.Digest]*Refused // what cannot be read under a digest
	sources  map[hiring.Digest][]byte   // see Source
	activity []Announced
	taken    map[hiring.Digest]bool // proven once: stays, as in the reconciler

	alteredAt map[hiring.Digest]time.Time // when what cannot be read was written

	configured map[hiring.Digest]*policy.Policy
}

// Announced is an activation in the history. What says it may write the topic; the bundle has to prove itself.
type Announced struct {
	wire.Control
	At time.Time // when it was written, by the publisher's clock
}

// Bundle is one bundle whose text is what its digest says, and holds together. Immutable.
type Bundle struct {
	Policy     *policy.Policy
	Signatures []policy.Signature
	Compiled   *hiring.Bundle
	// At is when its archive was written, by the broker or the publisher.
	At time.Time
}

// New returns a log that has read nothing.
func New(cfg Config) *Log {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	return &Log{cfg: cfg, next: map[int32]int64{}, bundles: map[hiring.Digest]*Bundle{}, refused: map[hiring.Digest]*Refused{}, taken: map[hiring.Digest]bool{}, sources: map[hiring.Digest][]byte{}, alteredAt: map[hiring.Digest]time.Time{}, configured: map[hiring.Digest]*policy.Policy{}}
}

// Dev reports whether signatures are not asked for.
func (l *Log) Dev() bool { return l.cfg.Dev }

// Take proves the bundle of an announcement on hiring.control, and that the announcement is meant: it stands in topic policy too,
// which fewer may write, and was written, by the broker's clock, before its time. The error is a *Refused, or about reading
// the topic, and then worth a retry.
func (l *Log) Take(ctx context.Context, c *wire.Control, written, now time.Time) (*hiring.Bundle, error) {
	if refused := late(c, written); refused != nil {
		return nil, refused
	}
	if !l.announced(c) {
		if err := l.Read(ctx); err != nil {
			return nil, err
		}
		if !l.announced(c) {
			return nil, &Refused{CauseUnannounced, fmt.Errorf("topic %s holds no activation %s of it: who wrote it to %s may not write there", topics.Policy, c.ID, topics.HiringControl)}
		}
	}
	return l.take(ctx, c.Policy, now)
}

// announced reports whether the history holds an announcement, word for word: also who published it, when and why, as a decision leads
// an auditor to the one on hiring.control.
func (l *Log) announced(c *wire.Control) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.activity, func(a Announced) bool {
		return a.ID == c.ID && a.Source == c.Source && a.Policy == c.Policy && a.EffectiveAt == c.EffectiveAt &&
			a.OccurredAt == c.OccurredAt && a.Actor == c.Actor && a.Reason == c.Reason
	})
}

// take proves the bundle of a digest, in hex, as of a time.
func (l *Log) take(ctx context.Context, digest string, at time.Time) (*hiring.Bundle, error) {
	var d policy.Digest
	if err := d.UnmarshalText([]byte(digest)); err != nil {
		return nil, &Refused{CauseUnknown, err}
	}
	key := hiring.Digest(d[:16])
	b := l.known(key)
	if b == nil || b.Policy.Digest() != d || l.proof(b, at) != nil {
		if err := l.Read(ctx); err != nil { // it, or more signatures of it, may stand at the end
			return nil, err
		}
		b = l.known(key)
	}
	if b == nil || b.Policy.Digest() != d {
		l.mu.Lock()
		defer l.mu.Unlock()
		if r := l.refused[key]; r != nil {
			return nil, r
		}
		return nil, &Refused{CauseUnknown, fmt.Errorf("topic %s holds no archive of %s", topics.Policy, digest)}
	}
	if refused := l.proof(b, at); refused != nil {
		return nil, refused
	}
	return b.Compiled, nil
}

// Text returns a bundle that was proven before: its digest alone says that it is the same. The error is about reading the topic,
// or says that it is not there.
func (l *Log) Text(ctx context.Context, d hiring.Digest) (*hiring.Bundle, error) {
	b := l.known(d)
	if b == nil {
		if err := l.Read(ctx); err != nil {
			return nil, err
		}
		if b = l.known(d); b == nil {
			b = l.kept(d)
		}
	}
	if b == nil {
		return nil, fmt.Errorf("policy %x is in force, and topic %s does not hold it: publish it again", d, topics.Policy)
	}
	return b.Compiled, nil
}

// Find returns a bundle that is known, or nil. It reads nothing.
func (l *Log) Find(d hiring.Digest) *Bundle { return l.known(d) }

// Proven says what is wrong with the signatures of a known bundle now; nil for nothing, and for one that is not known.
func (l *Log) Proven(d hiring.Digest, at time.Time) error {
	b := l.known(d)
	if b == nil {
		return nil
	}
	if refused := l.proof(b, at); refused != nil {
		return refused
	}
	return nil
}

func (l *Log) known(d hiring.Digest) *Bundle {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bundles[d]
}

// proof says why a bundle is not proven; nil when it is.
func (l *Log) proof(b *Bundle, at time.Time) *Refused {
	if l.cfg.Dev {
		return nil
	}
	signers, refused := l.signers()
	if refused != nil {
		return refused
	}
	if err := b.Policy.Verify(b.Signatures, signers, at); err != nil {
		return &Refused{CauseUnproven, err}
	}
	return nil
}

// signers are who may sign by the keys file as it is now.
func (l *Log) signers() (*policy.Signers, *Refused) {
	if l.cfg.Signers == nil {
		return nil, &Refused{CauseNoKeys, errors.New("set policy.signers, the keys file that says who may sign")}
	}
	signers, err := l.cfg.Signers()
	if err != nil {
		return nil, &Refused{CauseNoKeys, err}
	}
	return signers, nil
}

// Published returns every bundle and every activation read so far, activations in the order in which they were published: a
// publisher dates its own after all before it, see Next.
func (l *Log) Published() ([]*Bundle, []Announced) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bundles := slices.Collect(maps.Values(l.bundles))
	slices.SortFunc(bundles, func(a, b *Bundle) int {
		x, y := a.Policy.Digest(), b.Policy.Digest()
		return strings.Compare(x.String(), y.String())
	})
	activity := slices.Clone(l.activity)
	slices.SortStableFunc(activity, func(a, b Announced) int { return cmp.Compare(a.OccurredAt, b.OccurredAt) })
	return bundles, activity
}

// Next is when an activation that is published now is made: now, and after each there is, whatever the clocks of their publishers.
// Only who has read the topic to its end, and keeps all others from publishing since, knows.
func (l *Log) Next(now time.Time) wire.Micros {
	next := wire.MicrosOf(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.activity {
		next = max(next, l.activity[i].OccurredAt+1)
	}
	return next
}

// Read reads the topic to the end it has now. Transactions that are under way are waited for.
func (l *Log) Read(ctx context.Context) error {
	l.reading.Lock()
	defer l.reading.Unlock()
	cl, err := l.client()
	if err != nil {
		return fmt.Errorf("read topic %s: %w", topics.Policy, err)
	}
	defer cl.Close()
	return l.read(ctx, cl)
}

func (l *Log) client() (*kgo.Client, error) {
	return kgo.NewClient(append(slices.Clone(l.cfg.Kafka), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()))...)
}

// read reads on with a client. The caller holds reading.
func (l *Log) read(ctx context.Context, cl *kgo.Client) (err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	defer func() {
		if err != nil {
			err = fmt.Errorf("read topic %s: %w", topics.Policy, err)
		}
	}()
	adm := kadm.NewClient(cl)
	start, err := adm.ListStartOffsets(ctx, topics.Policy)
	if err == nil {
		err = start.Error()
	}
	if err != nil {
		return err
	}
	// The high watermark: a transaction's marker may reach hiring.control before it reaches this topic.
	end, err := adm.ListEndOffsets(ctx, topics.Policy)
	if err == nil {
		err = end.Error()
	}
	if err != nil {
		return err
	}
	from := map[int32]kgo.Offset{}
	for n, o := range end[topics.Policy] {
		l.next[n] = max(l.next[n], start[topics.Policy][n].Offset)
		if l.next[n] < o.Offset {
			from[n] = kgo.NewOffset().At(l.next[n])
		}
	}
	if len(from) == 0 {
		return nil
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topics.Policy: from})
	defer cl.RemoveConsumePartitions(map[string][]int32{topics.Policy: slices.Collect(maps.Keys(from))})
	for left := len(from); left > 0; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for it := fetches.RecordIter(); !it.Done(); {
			rec := it.Next()
			was, target := l.next[rec.Partition], end[topics.Policy][rec.Partition].Offset
			l.next[rec.Partition] = rec.Offset + 1
			if was < target && rec.Offset+1 >= target {
				left--
			}
			if !rec.Attrs.IsControl() {
				l.note(rec)
			}
		}
	}
	return nil
}

// note takes in one record. What is known to be good stays, whatever comes under its key later.
func (l *Log) note(rec *kgo.Record) {
	key := string(rec.Key)
	if strings.HasPrefix(key, activationKey) {
		var c wire.Control
		if l.cfg.Schemas != nil && rec.Value != nil && l.cfg.Schemas.DecodeLocal(rec.Value, &c) == nil {
			l.mu.Lock()
			l.activity = append(l.activity, Announced{c, rec.Timestamp})
			l.mu.Unlock()
		}
		return
	}
	var d policy.Digest
	if text, ok := strings.CutPrefix(key, sourceKey); ok && d.UnmarshalText([]byte(text)) == nil {
		l.mu.Lock()
		l.sources[hiring.Digest(d[:16])] = rec.Value
		l.mu.Unlock()
		return
	}
	if d.UnmarshalText([]byte(key)) != nil {
		l.cfg.Logger.Warn("a record that is no policy", zap.String("topic", rec.Topic), zap.Int32("partition", rec.Partition), zap.Int64("offset", rec.Offset))
		return
	}
	b, refused := open(d, rec)
	short := hiring.Digest(d[:16])
	was := l.known(short)
	if refused != nil {
		l.cfg.Logger.Error("an archive does not hold", zap.String("policy", key), zap.Int64("offset", rec.Offset), zap.String("cause", string(refused.Cause)), zap.Error(refused.Err))
		l.mu.Lock()
		defer l.mu.Unlock()
		if was == nil {
			l.refused[short], l.alteredAt[short] = refused, rec.Timestamp
		}
		return
	}
	if was != nil && l.proof(was, time.Now()) == nil {
		return
	}
	if l.proof(b, time.Now()) == nil {
		l.keep(d, rec.Value)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bundles[short] = b
	delete(l.refused, short)
}

// open reads an archive, and proves that it is the bundle of a digest and holds together.
func open(d policy.Digest, rec *kgo.Record) (*Bundle, *Refused) {
	p, signatures, err := policy.Unpack(rec.Value)
	if err != nil {
		return nil, &Refused{CauseAltered, err}
	}
	if p.Digest() != d {
		return nil, &Refused{CauseAltered, fmt.Errorf("it is the bundle %s", p.Digest())}
	}
	compiled, err := p.Compile()
	if err != nil {
		return nil, &Refused{CauseFaulty, err}
	}
	return &Bundle{Policy: p, Signatures: signatures, Compiled: compiled, At: rec.Timestamp}, nil
}

// Configured makes a bundle known that is in force by configuration, so that it can be asked for its warnings. It is not
// published by that, and its signatures are not looked at again.
func (l *Log) Configured(p *policy.Policy) {
	d := p.Digest()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.configured[hiring.Digest(d[:16])] = p
}

// Warnings are the places of what time has made of a bundle: "bundle.yaml review_by". Nil for one that is not known.
func (l *Log) Warnings(d hiring.Digest, at time.Time) []string {
	l.mu.Lock()
	p := l.configured[d]
	if b := l.bundles[d]; p == nil && b != nil {
		p = b.Policy
	}
	l.mu.Unlock()
	if p == nil {
		return nil
	}
	_, warnings := p.Check(at)
	var out []string
	for _, w := range warnings {
		out = append(out, w.File+" "+w.Path)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

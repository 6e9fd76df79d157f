package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// published is one activation of the history.
type published struct {
	ID          string             `json:"id"`
	Digest      string             `json:"digest"`
	Name        string             `json:"name,omitempty"` // empty: the topic holds no archive of it
	Version     string             `json:"version,omitempty"`
	PublishedAt time.Time          `json:"published_at"`
	EffectiveAt time.Time          `json:"effective_at"`
	By          string             `json:"by"`
	Reason      string             `json:"reason"`
	Signatures  []policy.Signature `json:"signatures"`
	// Proven says what the configured keys file says of the signatures now; nil: no keys file is configured.
	Proven *bool `json:"proven,omitempty"`
}

// inForce is what judges one partition, as its record in hiring.state has it.
type inForce struct {
	Partition int32  `json:"partition"`
	Digest    string `json:"digest,omitempty"` // empty: nothing published, so what is configured
	// Since is from when on.
	Since *time.Time `json:"since,omitempty"`
	// Sweeping: applications nothing is heard of are still being judged anew.
	Sweeping bool `json:"sweeping,omitempty"`
	// Scheduled is what it has taken up for a time to come.
	Scheduled []scheduled `json:"scheduled,omitempty"`
	// Refused are activations the partition refused, newer than what is in force, with the cause.
	Refused map[string]string `json:"refused,omitempty"`
	// Unheard are activations it has not read yet.
	Unheard []string `json:"unheard,omitempty"`
}

// scheduled is a bundle that has been taken up for a time to come.
type scheduled struct {
	Digest      string    `json:"digest"`
	EffectiveAt time.Time `json:"effective_at"`
}

func (a *app) policyHistory() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "history",
		Short: "Tell who published and signed which bundle, when, and which is in force in each partition",
		Long: "Tell who published and signed which bundle, when and why, and what is in force in each partition, by the partition's own\n" +
			"record. Where nothing was published that is what the reconciler is configured with; the digest told is that of the\n" +
			"configuration of this command (policy.archives, ats), which has to be the reconciler's.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.load(cmd); err != nil {
				return err
			}
			ctx := cmd.Context()
			r, err := a.reader(ctx)
			if err != nil {
				return err
			}
			defer r.close()
			log := a.policyLog(r.opts, r.schemas, "")
			if err := log.Read(ctx); err != nil {
				return err
			}
			_, activity := log.Published()
			var list []published
			for i := range activity {
				list = append(list, a.publishedOf(log, &activity[i].Control))
			}
			parts, err := r.inForce(ctx, activity, time.Now())
			if err != nil {
				return err
			}
			configured := ""
			if slices.ContainsFunc(parts, func(p inForce) bool { return p.Digest == "" }) {
				if configured, err = a.configuredPolicy(time.Now()); err != nil {
					return err
				}
			}
			if a.json {
				return a.printJSON(struct {
					Published  []published `json:"published"`
					Configured string      `json:"configured,omitempty"` // what this command's configuration says, for a partition without a digest
					Partitions []inForce   `json:"partitions"`
					Agree      bool        `json:"agree"`
				}{append([]published{}, list...), configured, parts, agree(parts)})
			}
			return a.printHistory(list, parts, configured)
		},
	})
}

// configuredPolicy is the digest of what judges by configuration, where nothing was published.
func (a *app) configuredPolicy(now time.Time) (string, error) {
	policies, err := a.policies()
	if err != nil {
		return "", err
	}
	in := policies[0]
	for _, p := range policies {
		if !p.Bundle.EffectiveFrom.After(now) {
			in = p
		}
	}
	return in.Digest().String(), nil
}

func (a *app) publishedOf(log *policylog.Log, c *wire.Control) published {
	out := published{
		ID: c.ID, Digest: c.Policy, PublishedAt: c.OccurredAt.Time().UTC(), EffectiveAt: c.EffectiveAt.Time().UTC(), By: c.Actor.ID, Reason: c.Reason, Signatures: []policy.Signature{},
	}
	var d policy.Digest
	if d.UnmarshalText([]byte(c.Policy)) != nil {
		return out
	}
	short := hiring.Digest(d[:16])
	b := log.Find(short)
	if b == nil {
		return out
	}
	out.Name, out.Version, out.Signatures = b.Policy.Bundle.Name, b.Policy.Bundle.Version, append(out.Signatures, b.Signatures...)
	if a.cfg.Policy.Signers != "" {
		holds := log.Proven(short, time.Now()) == nil
		out.Proven = &holds
	}
	return out
}

func (a *app) printHistory(list []published, parts []inForce, configured string) error {
	var rows [][]string
	for _, p := range list {
		var by []string
		for _, s := range p.Signatures {
			by = append(by, s.Person+"/"+s.Role)
		}
		holds := "not asked"
		if p.Proven != nil {
			holds = map[bool]string{true: "holds", false: "does not hold"}[*p.Proven]
		}
		rows = append(rows, []string{p.EffectiveAt.Format(time.RFC3339), p.Digest[:min(16, len(p.Digest))], orNone(p.Version), p.PublishedAt.Format(time.RFC3339), p.By, p.Reason, orNone(strings.Join(by, " ")), holds})
	}
	if len(list) == 0 {
		fmt.Fprintln(a.stdout, "nothing was published")
	} else if err := a.table([]string{"EFFECTIVE AT", "POLICY", "VERSION", "PUBLISHED", "BY", "WHY", "SIGNED BY", "NOW"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	rows = nil
	for _, p := range parts {
		var more []string
		for id, cause := range p.Refused {
			more = append(more, "refused "+id+": "+cause)
		}
		slices.Sort(more)
		for _, next := range p.Scheduled {
			more = append(more, "from "+next.EffectiveAt.Format(time.RFC3339)+" on "+next.Digest[:16])
		}
		if p.Sweeping {
			more = append(more, "idle applications are being judged anew")
		}
		for _, id := range p.Unheard {
			more = append(more, "not read yet "+id)
		}
		digest, since := "", ""
		if p.Digest != "" {
			digest, since = p.Digest[:16], p.Since.Format(time.RFC3339)
		} else {
			digest = configured[:16] + ", as configured"
		}
		rows = append(rows, []string{strconv.Itoa(int(p.Partition)), digest, since, strings.Join(more, "; ")})
	}
	if err := a.table([]string{"PARTITION", "IN FORCE", "SINCE", ""}, rows); err != nil {
		return err
	}
	if !agree(parts) {
		a.say("the partitions do not agree: publish the bundle that is meant again, and all of them begin with it at one moment")
	}
	return nil
}

// agree reports whether one policy judges all partitions.
func agree(parts []inForce) bool {
	return !slices.ContainsFunc(parts, func(p inForce) bool { return p.Digest != parts[0].Digest })
}

var errFound = errors.New("found")

// inForce is what judges each partition: what its record in hiring.state has, which the reconciler goes by. Of the activations that
// are not there, hiring.decisions says what came of them, looked for from the time of their publishing on.
func (r *reader) inForce(ctx context.Context, activity []policylog.Announced, now time.Time) ([]inForce, error) {
	start, end, err := r.bounds(ctx, topics.HiringState)
	if err != nil {
		return nil, err
	}
	var out []inForce
	active := map[int32]*wire.PartitionPolicy{}
	for n := range int32(len(end[topics.HiringState])) {
		p := inForce{Partition: n, Refused: map[string]string{}}
		if active[n], err = r.partitionPolicy(ctx, n, start, end); err != nil {
			return nil, err
		}
		if s := active[n]; s != nil {
			for _, b := range s.Bundles {
				digest, at := hex.EncodeToString(b.Policy[:]), b.EffectiveAt.Time().UTC()
				if at.After(now) {
					p.Scheduled = append(p.Scheduled, scheduled{digest, at})
					continue
				}
				p.Digest, p.Since, p.Sweeping = digest, &at, b.EffectiveAt > s.SweptUntil
			}
		}
		out = append(out, p)
	}
	if start, end, err = r.bounds(ctx, topics.HiringDecisions); err != nil {
		return nil, err
	}
	adm := kadm.NewClient(r.client)
	for i := range activity {
		c := &activity[i]
		from, err := adm.ListOffsetsAfterMilli(ctx, c.OccurredAt.Time().Add(-time.Minute).UnixMilli(), topics.HiringDecisions)
		if err == nil {
			err = from.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("offsets of %s: %w", topics.HiringDecisions, err)
		}
		for n := range out {
			p := &out[n]
			if taken(active[int32(n)], &c.Control) || p.Since != nil && c.EffectiveAt.Time().Before(*p.Since) {
				continue // there, or overtaken
			}
			first, last := start[topics.HiringDecisions][int32(n)].Offset, end[topics.HiringDecisions][int32(n)].Offset
			if at, ok := from.Lookup(topics.HiringDecisions, int32(n)); ok && at.Offset >= 0 {
				first = max(first, at.Offset)
			} else {
				first = last
			}
			d, err := r.judged(ctx, int32(n), first, last, c.ID)
			switch {
			case err != nil:
				return nil, err
			case d == nil:
				p.Unheard = append(p.Unheard, c.ID)
			case d.Reason == wire.ReasonPolicyRefused:
				p.Refused[c.ID] = d.Detail
			}
		}
	}
	return out, nil
}

// taken reports whether an activation stands in the record of a partition.
func taken(s *wire.PartitionPolicy, c *wire.Control) bool {
	return s != nil && slices.ContainsFunc(s.Bundles, func(b wire.ActiveBundle) bool {
		return policylog.Activated(b, c)
	})
}

// judged is what a partition decided about an activation, or nil.
func (r *reader) judged(ctx context.Context, partition int32, from, to int64, id string) (*wire.Decision, error) {
	var out *wire.Decision
	err := r.scan(ctx, topics.HiringDecisions, partition, from, to, func(rec *kgo.Record) error {
		if !hiring.Ours(string(rec.Key)) {
			return nil
		}
		d := new(wire.Decision)
		if err := r.schemas.Decode(ctx, rec.Value, d); err != nil {
			return err
		}
		if d.EventID != id || d.Topic != topics.HiringControl {
			return nil
		}
		out = d
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return out, err
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/local"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// publishLead is how long before it takes effect a bundle is published at the latest: every partition has heard of it by
// then, and begins at the same moment (rule B6).
const publishLead = time.Minute

// publishFlags are what publishing asks for.
type publishFlags struct {
	keys                     signersFlags
	effective, actor, reason string
	dev, yes                 bool
}

func (a *app) policyPublish() *cobra.Command {
	var f publishFlags
	cmd := f.keys.add(a.jsonFlag(&cobra.Command{
		Use:   "publish DIR|ARCHIVE",
		Short: "Put a signed bundle in force, on every partition from one moment on",
		Long: "Prove a bundle, put its archive on the topic policy and announce it on every partition of hiring.control, in one\n" +
			"transaction. Every reconciler proves it again by its own keys file, and judges by it what happens from --effective-at\n" +
			"on, a minute ahead at least, without a restart.\n\n" +
			"A bundle that lacks a state in which applications stand, or an ATS they come from, is refused with the list (exit code\n" +
			"1), unless its migrations say where those go. To roll back, publish the older bundle again.\n\n" +
			"--signers and --revoked are those of the configuration when left out.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.actor == "" || f.reason == "" {
				return usage("give --actor, an id that is no name or e-mail address, and --reason, such as a ticket number")
			}
			if strings.Contains(f.actor, "@") {
				return usage("--actor %s: give an id, not an e-mail address", f.actor)
			}
			if err := a.load(cmd); err != nil {
				return err
			}
			return a.publishPolicy(cmd.Context(), args[0], &f)
		},
	}))
	flags := cmd.Flags()
	flags.StringVar(&f.effective, "effective-at", "", "from when on it judges, RFC 3339, a minute ahead at least; in a minute, or at its effective_from, when left out")
	flags.StringVar(&f.actor, "actor", "", "who publishes: an id, never a name or an e-mail address")
	flags.StringVar(&f.reason, "reason", "", "why: a ticket number or a short phrase without personal data")
	flags.BoolVar(&f.dev, "dev", false, "publish without signatures; on an embedded cluster only, where `run --dev` takes it")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) publishPolicy(ctx context.Context, from string, f *publishFlags) error {
	p, archive, err := a.publishable(from, f)
	if err != nil {
		return err
	}
	compiled, err := p.Compile()
	if err != nil {
		return a.findings(err)
	}
	r, err := a.reader(ctx)
	if err != nil {
		return err
	}
	defer r.close()
	partitions, err := a.publishTarget(ctx, r, f.dev)
	if err != nil {
		return err
	}
	at, err := f.effectiveAt(p.Bundle.EffectiveFrom.Time, time.Now())
	if err != nil {
		return err
	}
	grounds, err := a.occupied(ctx, r, compiled)
	if err != nil {
		return err
	}
	for _, p := range grounds {
		if crowded := policylog.Crowded(p.scheduled); crowded != nil {
			return fmt.Errorf("%w: %w: the next takes effect at %s", errRefused, crowded, p.rules.Changes(hiring.FromTime(time.Now())).Time().UTC().Format(time.RFC3339))
		}
	}
	if lost := stranded(grounds, compiled, at); len(lost) > 0 {
		return a.refuseStranded(lost)
	}
	question := fmt.Sprintf("put %s %s, sha256:%s, in force", p.Bundle.Name, p.Bundle.Version, p.Digest())
	if f.dev {
		question += ", without proof, where `run --dev` takes it"
	}
	if err := a.confirm(question, f.yes); err != nil {
		return err
	}
	if at, err = f.effectiveAt(p.Bundle.EffectiveFrom.Time, time.Now()); err != nil {
		return err
	}
	if lost := stranded(grounds, compiled, at); len(lost) > 0 { // an answer takes its time, in which another bundle may begin
		return a.refuseStranded(lost)
	}
	activation := &wire.Control{
		ID: rand.Text(), Source: "/concord/policy", TimeBasis: wire.TimeBasisEvent, EffectiveAt: wire.MicrosOf(at),
		Actor: wire.Actor{Kind: wire.ActorKindHuman, ID: f.actor}, Reason: f.reason,
	}
	var source *kgo.Record
	if info, err := os.Stat(from); err == nil && info.IsDir() {
		files, err := policy.ReadFiles(os.DirFS(from))
		if err != nil {
			return a.findings(err)
		}
		if source, err = policylog.SourceRecord(p, files); err != nil {
			return err
		}
	}
	if err := publishTogether(ctx, r.opts, func() ([]*kgo.Record, error) {
		log := a.policyLog(r.opts, r.schemas, "")
		if err := log.Read(ctx); err != nil {
			return nil, err
		}
		activation.OccurredAt = log.Next(time.Now())
		records := policylog.Records(r.schemas, p, archive, activation, partitions)
		if source != nil {
			records = append(records, source)
		}
		return records, nil
	}); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(struct {
			ID          string        `json:"id"`
			Digest      policy.Digest `json:"digest"`
			EffectiveAt time.Time     `json:"effective_at"`
			Partitions  int32         `json:"partitions"`
		}{activation.ID, p.Digest(), at.UTC(), partitions})
	}
	fmt.Fprintln(a.stdout, p.Digest())
	if f.dev {
		a.say("published without proof: reconcilers that run with --dev judge by it from %s on, any other refuses it unless all who must have signed it, and what was in force stays; `concord policy history` tells which",
			at.UTC().Format(time.RFC3339))
		return nil
	}
	a.say("published; in force from %s on; `concord policy history` tells which partition has taken it up", at.UTC().Format(time.RFC3339))
	return nil
}

// publishable reads what is to be published and proves it.
func (a *app) publishable(from string, f *publishFlags) (*policy.Policy, []byte, error) {
	f.keys.signers, f.keys.revoked = orElse(f.keys.signers, a.cfg.Policy.Signers), orElse(f.keys.revoked, a.cfg.Policy.Revoked)
	a.cfg.Policy.Signers, a.cfg.Policy.Revoked = f.keys.signers, f.keys.revoked // what else is published is proved by the same
	read := a.proved
	if f.dev {
		read = func(from string, _ *signersFlags) (*policy.Policy, []policy.Signature, error) {
			p, signatures, err := a.signed(from)
			if err == nil {
				if faults, _ := p.Check(time.Now()); len(faults) > 0 {
					err = a.findings(faults)
				}
			}
			return p, signatures, err
		}
	}
	p, signatures, err := read(from, &f.keys)
	if err != nil {
		return nil, nil, err
	}
	archive, err := p.Pack(signatures)
	return p, archive, err
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// effectiveAt is the time asked for, or the earliest there is.
func (f *publishFlags) effectiveAt(from, now time.Time) (time.Time, error) {
	least := now.Add(publishLead)
	if f.effective == "" {
		if from.After(least) {
			return from, nil
		}
		return least, nil
	}
	at, err := time.Parse(time.RFC3339Nano, f.effective)
	switch {
	case err != nil:
		return at, usage("--effective-at %s: give a time such as 2026-03-01T09:00:00Z", f.effective)
	case at.Before(least):
		return at, usage("--effective-at %s: give a time at least %s ahead, so that every partition has heard of it and begins at the same moment", f.effective, publishLead)
	case at.Before(from):
		return at, usage("--effective-at %s: the bundle's effective_from is %s", f.effective, from.Format(time.RFC3339))
	}
	return at, nil
}

// publishTarget looks at the cluster, and returns how many partitions there are to announce to.
func (a *app) publishTarget(ctx context.Context, r *reader, dev bool) (int32, error) {
	meta, err := kadm.NewClient(r.client).Metadata(ctx, topics.HiringControl, topics.Policy)
	if err != nil {
		return 0, fmt.Errorf("ask for topics: %w", err)
	}
	if dev && meta.Cluster != local.ClusterID {
		return 0, usage("--dev: the cluster is not an embedded one; have the bundle signed, see `concord policy sign`")
	}
	for _, name := range []string{topics.HiringControl, topics.Policy} {
		if t := meta.Topics[name]; t.Err != nil || len(t.Partitions) == 0 {
			return 0, fmt.Errorf("%w: topic %s is missing; run `concord topics create`", errRefused, name)
		}
	}
	return int32(len(meta.Topics[topics.HiringControl].Partitions)), nil
}

// publishTogether writes records in one transaction. They are made once nobody else can publish any more: whoever was at it is
// fenced, or has published.
func publishTogether(ctx context.Context, opts []kgo.Opt, make func() ([]*kgo.Record, error)) error {
	keyed := kgo.StickyKeyPartitioner(nil)
	cl, err := kgo.NewClient(append(slices.Clone(opts), kgo.TransactionalID(topics.PolicyPublisher), kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		keyed := keyed.ForTopic(topic)
		return func(rec *kgo.Record, n int) int {
			if rec.Partition >= 0 {
				return int(rec.Partition)
			}
			return keyed.Partition(rec, n)
		}
	})))...)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	defer cl.Close()
	if _, _, err := cl.ProducerID(ctx); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	records, err := make()
	if err != nil {
		return err
	}
	if err := cl.BeginTransaction(); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		err = errors.Join(err, cl.AbortBufferedRecords(ctx), cl.EndTransaction(ctx, kgo.TryAbort))
		if errors.Is(err, kerr.MessageTooLarge) {
			return fmt.Errorf("%w: the archive has %d bytes, and topic %s takes less: run `concord topics create --update`, which sets max.message.bytes", errRefused, len(records[0].Value), topics.Policy)
		}
		return fmt.Errorf("publish, nothing was published: %w", err)
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("publish: whether it was published is not known, `concord policy history` tells; publishing again does no harm: %w", err)
	}
	return nil
}

// policiesDir is where a process with a folder of its own keeps the published bundles it has proven.
func (a *app) policiesDir() string { return filepath.Join(a.cfg.DataDir, "policies") }

// policyLog is the published policy as this configuration proves it. Dir is where bundles are kept, empty for nowhere.
func (a *app) policyLog(opts []kgo.Opt, schemas *wire.Schemas, dir string) *policylog.Log {
	cfg := policylog.Config{Kafka: opts, Schemas: schemas, Dir: dir, Dev: a.cfg.Policy.Dev, Logger: a.log.Named("policy")}
	if file, revoked := a.cfg.Policy.Signers, a.cfg.Policy.Revoked; file != "" {
		cfg.Signers = func() (*policy.Signers, error) { return readSigners(file, revoked) }
	}
	return policylog.New(cfg)
}
